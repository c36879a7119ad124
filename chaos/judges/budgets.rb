# frozen_string_literal: true

require_relative "judge"

module Chaos
  module Judges
    # No task uses up more than its budget, what it has used up is counted, and no step is kept from starting before.
    class Budgets < Judge
      # Outcomes of attempts whose handlers told what they spent.
      TOLD = %w[succeeded retryable permanent].freeze

      private

      def judge
        budget = record.budget
        return judge_none unless budget

        judge_attempts(budget)
        judge_cost(budget)
      end

      def judge_none
        tell("it has no budget") if Budget::ALL.key?(record.template)
        @steps.each_value { |step| tell("it has no budget that was used up", step) if step.out_of_budget? }
      end

      def judge_attempts(budget)
        begun = @steps.values.sum(&:attempts)
        tell("#{begun} attempts began, its budget counts #{budget.attempts}") if begun != budget.attempts
        most = budget.max_attempts or return
        tell("#{begun} attempts began, #{most} may") if begun > most
        kept = @steps.values.find(&:out_of_budget?)
        tell("it was kept from starting after #{begun} attempts, #{most} may begin", kept) if kept && begun < most
      end

      # Steps spend what they reserve, so that one that is kept from starting finds less than that left.
      def judge_cost(budget)
        most = budget.max_cost or return
        spent = @steps.values.sum { |step| told(step) * Budget::COST }
        tell("it spent #{spent} millionths, its budget counts #{budget.spent}") if spent != budget.spent
        tell("it spent #{spent} millionths of #{most}") if spent > most
        tell("#{budget.reserved} millionths are reserved, and it has ended") unless budget.reserved.zero?
        kept = @steps.values.find(&:out_of_budget?)
        tell("it was kept from starting with #{most - spent} millionths left", kept) if kept && most - spent >= Budget::COST
      end

      def told(step)
        step.ends.count { |ended| TOLD.include?(ended.outcome) }
      end
    end
  end
end
