# frozen_string_literal: true

require "time"
require_relative "judge"

module Chaos
  module Judges
    # Steps whose attempts may not take longer together than a while end when that is over, and no sooner.
    class Timeouts < Judge
      # Seconds by which times may differ that were written one after the other.
      TOLERANCE = 0.001
      # Seconds between the decision by which a step can be claimed, from which its time counts, and its row of history.
      WRITTEN = 1.0
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
        limit = began(before).at + total
        deadline = seconds(change, "deadline_at")
        return too_early(step, limit - deadline) if deadline < limit - WRITTEN

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
