# frozen_string_literal: true

require_relative "judge"

module Chaos
  module Judges
    # An attempt is ended for its time when that is over, and no sooner; the next one begins when its policy says so, or
    # the handler. That the late end of one that was not ended in time does not count is the affair of {Executions}.
    class Hangs < Judge
      # Seconds by which the database's and the machine's clocks may differ over a few seconds.
      TOLERANCE = 0.01
      # The same for claims, which history has at the time when their transaction began: by two slow ways of a message
      # before they looked for steps (the fault `delay`).
      CLAIM_TOLERANCE = 0.35
      # Outcomes after which a step is tried again.
      FAILED = ["retryable", Executions::TOO_LATE].freeze
      # Events by which failures are counted anew.
      ANEW = ["retried", *Record::ANEW].freeze

      private

      def judge
        @steps.each_value do |step|
          step.transitions.each_with_index do |change, index|
            before = step.transitions.first(index)
            judge_time(step, change, before.last) if hung?(step, change)
            judge_delay(step, change, before) if change.event == "claimed"
          end
        end
      end

      def hung?(step, change)
        step.name == Hung::HANGS && change.outcome == Executions::TOO_LATE
      end

      # The attempt begins after its claim.
      def judge_time(step, change, claimed)
        early = Hung::TIMEOUT - (change.at - claimed.at)
        too_early(step, "attempt #{change.attempt} was ended for its time", early)
      end

      def judge_delay(step, change, before)
        failed = before.last
        return unless failed&.event == "retry_scheduled"

        delay = Hung.delay(step.name, failures(before)) or return
        due = before[-2].at + took(step, failed) + delay
        too_early(step, "attempt #{failed.attempt + 1} was claimed", due - change.at, CLAIM_TOLERANCE)
      end

      # What lies between a claim and the decision that its attempt has failed, at least. When that is written is known,
      # which may be later.
      def took(step, failed)
        return Hung::TIMEOUT if failed.outcome == Executions::TOO_LATE

        execution = step.execution(failed.attempt)
        execution&.finished_ns ? (execution.finished_ns - execution.started_ns) / 1e9 : 0
      end

      def failures(changes)
        since = changes.reverse.take_while { |change| !ANEW.include?(change.event) }
        since.count { |change| FAILED.include?(change.outcome) }
      end

      def too_early(step, what, seconds, tolerance = TOLERANCE)
        tell(format("%<what>s %<seconds>.3f s too early", what: what, seconds: seconds), step) if seconds > tolerance
      end
    end
  end
end
