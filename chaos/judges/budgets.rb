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
        judge_raise(budget)
      end

      # It is what the template says, or what it was raised to.
      def judge_raise(budget)
        limits = { attempts: budget.max_attempts, cost: budget.max_cost }.compact
        case limits
        when Budget.in_units(Budget::ALL.fetch(record.template))
          tell("that its budget is raised was acknowledged, and did not take place") if raises.any?(&:acknowledged?)
        when Budget.in_units(Budget::RAISED.fetch(record.template))
          tell("its budget was raised, and nobody asked for that") if raises.none?(&:possible?)
        else tell("its budget is #{limits}")
        end
      end

      def raises
        record.requests.select { |request| request.kind == :raise }
      end

      def judge_none
        tell("it has no budget") if Budget::ALL.key?(record.template)
        @steps.each_value { |step| tell("it has no budget that was used up", step) if step.out_of_budget? }
      end

      def judge_attempts(budget)
        begun = @steps.values.sum(&:attempts)
        tell("#{begun} attempts began, its budget counts #{budget.attempts}") if begun != budget.attempts
        judge_limit(begun, budget.max_attempts, 1, "attempts") if budget.max_attempts
      end

      # Steps spend what they reserve.
      def judge_cost(budget)
        return unless budget.max_cost

        spent = @steps.values.sum { |step| told(step) * Budget::COST }
        tell("it spent #{spent} millionths, its budget counts #{budget.spent}") if spent != budget.spent
        tell("#{budget.reserved} millionths are reserved, and it has ended") unless budget.reserved.zero?
        judge_limit(spent, budget.max_cost, Budget::COST, "millionths")
      end

      def judge_limit(used, most, wanted, unit)
        tell("it used up #{used} of #{most} #{unit}") if used > most
        kept = @steps.values.find(&:out_of_budget?)
        tell("it was kept from starting with #{most - used} #{unit} left", kept) if kept && most - used >= wanted
      end

      def told(step)
        step.ends.count { |ended| TOLD.include?(ended.outcome) }
      end
    end
  end
end
