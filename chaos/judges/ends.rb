# frozen_string_literal: true

require_relative "judge"

module Chaos
  module Judges
    # Every task and step ended, as its handlers decide and as operators and deadlines allow.
    class Ends < Judge
      # States in which a task is over.
      OVER = %w[complete error cancelled].freeze
      # Kinds of requests by which tasks are cancelled; where those expire that are old, it may not be.
      CANCELLING = %i[cancel expire].freeze

      private

      def judge
        judge_task
        (@graph.keys - @steps.keys).each { |name| tell("it has no #{name}") }
        @steps.slice(*@graph.keys).each_value { |step| judge_step(step) }
      end

      def judge_task
        return tell("it has not ended: it is #{record.state}") unless OVER.include?(record.state)

        allowed = allowed_states
        tell("it is #{record.state}, not #{allowed.join(" or ")}") unless allowed.include?(record.state)
      end

      def allowed_states
        return ["cancelled"] if cancellations.any? { |request| request.kind == :cancel && request.acknowledged? }

        [expectation.task_state, *("cancelled" if may_be_cancelled?)]
      end

      def may_be_cancelled?
        cancellations.any? || record.deadline || record.parent&.ended_by_others?
      end

      def cancellations
        record.requests.select { |request| CANCELLING.include?(request.kind) && request.possible? }
      end

      def judge_step(step)
        allowed = [expectation.states.fetch(step.name), *("cancelled" if record.state == "cancelled")]
        tell("it is #{step.state}, not #{allowed.join(" or ")}", step) unless allowed.include?(step.state)
        times = step.since_retry.count { |transition| transition.to == "complete" }
        return if times == (step.state == "complete" ? 1 : 0)

        tell("it is #{step.state} and was completed #{times} times", step)
      end
    end
  end
end
