# frozen_string_literal: true

require_relative "judge"

module Chaos
  module Judges
    # Transitions form a chain without a gap, attempts are numbered, and nothing is given up too early or too late.
    class History < Judge
      # Workers that die before a step is given up (the default of `crash_limit`).
      CRASH_LIMIT = 3
      # States that a step begins in.
      FIRST_STATES = %w[pending enqueued].freeze

      private

      def judge
        judge_chain(record, %w[pending])
        judge_deadline
        @steps.each_value do |step|
          judge_chain(step, FIRST_STATES, step)
          judge_numbers(step)
          judge_crashes(step)
          judge_failures(step)
        end
      end

      # A step that nothing happened to is in one of its first states.
      def judge_chain(thing, first_states, step = nil)
        changes = thing.transitions
        begins = changes.empty? ? thing.state : changes.first.from
        ends = changes.empty? ? thing.state : changes.last.to
        tell("its history begins with #{begins}", step) unless first_states.include?(begins)
        tell("its history ends with #{ends}, it is #{thing.state}", step) unless ends == thing.state
        changes.each_cons(2) do |one, other|
          tell("its history has a gap: to #{one.to}, from #{other.from}", step) unless one.to == other.from
        end
      end

      def judge_deadline
        passed = record.transitions.find { |transition| transition.event == "deadline_passed" } or return
        return tell("its deadline passed, it has none") unless record.deadline

        early = record.requested_at + record.deadline - passed.at
        tell(format("its deadline passed %.3f s too early", early)) if early.positive?
      end

      def judge_numbers(step)
        numbers = step.ends.map(&:attempt)
        return if numbers == (1..step.attempts).to_a

        tell("its attempts are #{numbers}, it counts #{step.attempts}", step)
      end

      # An operator's retry has both counted anew.
      def judge_crashes(step)
        died = step.since_retry.count { |change| change.outcome == "worker_died" }
        return judge_progress(step, died) if Batch.of(step.name)
        return unless died > CRASH_LIMIT || step.crashed? != (died == CRASH_LIMIT)

        tell("#{died} workers died, it was#{" not" unless step.crashed?} given up for that", step)
      end

      # Workers that die after a checkpoint are not counted.
      def judge_progress(step, died)
        tell("#{died} workers died, it was given up for that", step) if step.crashed? && died < CRASH_LIMIT
      end

      def judge_failures(step)
        failed = step.since_retry.count { |change| failed?(change) }
        given_up = step.since_retry.any? { |change| change.event == "retries_exhausted" }
        limit = Behaviour.retry_limit(step.name)
        return if failed <= limit && given_up == (failed == limit)

        tell("#{failed} attempts failed, it was#{" not" unless given_up} given up for that", step)
      end

      # A step whose time for all attempts is over is not tried again anyway.
      def failed?(change)
        change.outcome == "retryable" || (change.outcome == "timeout" && change.event != "timed_out")
      end
    end
  end
end
