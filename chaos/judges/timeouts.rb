# frozen_string_literal: true

require "time"
require_relative "judge"

module Chaos
  module Judges
    # Steps whose attempts may not take longer together than a while end when that is over, and no sooner.
    class Timeouts < Judge
      # Seconds by which times may differ that were written one after the other.
      TOLERANCE = 0.001
      # Seconds between a decision and its row of history, at most, where a worker stands still between the two:
      # Postgres ends its session then.
      WRITTEN = 6.0
      # Seconds after which workers that reach the database have ended such a step: many of their heartbeats.
      LATE = 20

      private

      def judge
        @steps.each_value do |step|
          step.transitions.each_with_index do |change, index|
            judge_end(step, step.transitions.first(index), change) if change.event == "timed_out"
            judge_claim(step, step.transitions.first(index), change) if change.event == "claimed"
          end
        end
      end

      def judge_end(step, before, change)
        total = Timed::TOTALS[step.name] or return tell("its time was over, it has no limit", step)
        limit = decided(step, began(before)) + total
        deadline = seconds(change, "deadline_at")
        return too_early(step, limit - deadline) if deadline < limit

        # A retry that would begin too late is not waited for.
        ended = seconds(change, "retry_at") || change.at
        too_early(step, deadline - ended) if ended < deadline - TOLERANCE
      end

      def judge_claim(step, before, change)
        total = Timed::TOTALS[step.name] or return
        began = began([*before, change])
        late = change.at - began.at - total
        tell("attempt #{change.attempt} was claimed #{late.round(3)} s too late", step) if late > LATE
      end

      # When it could be claimed, first or since it was tried again.
      def began(changes)
        changes.reverse_each.find { |change| change.from == "pending" || change.event == "retried" }
      end

      # When it was decided at the earliest that it can be claimed, from which its time counts: not before the handlers
      # above ended that made it so.
      def decided(step, began)
        above = began.from == "pending" ? @graph.fetch(step.name) : []
        above.flat_map { |name| ends_before(@steps.fetch(name), began) }.max || (began.at - WRITTEN)
      end

      # By when they were claimed, and how long they took.
      def ends_before(step, change)
        claims = step.transitions.select { |one| one.event == "claimed" && one.id < change.id }
        claims.map do |claim|
          execution = step.execution(claim.attempt)
          claim.at + (execution&.finished_ns ? (execution.finished_ns - execution.started_ns) / 1e9 : 0)
        end
      end

      def seconds(change, key)
        time = change.detail && change.detail[key]
        time && Time.iso8601(time).to_r.to_f
      end

      def too_early(step, seconds)
        tell(format("its time was over %.3f s too early", seconds), step)
      end
    end
  end
end
