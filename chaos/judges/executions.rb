# frozen_string_literal: true

require_relative "judge"

module Chaos
  module Judges
    # What the history says of attempts, and what handlers recorded of them.
    class Executions < Judge
      # Outcomes of attempts whose handler ended and whose end was accepted.
      ACCEPTED = %w[succeeded retryable permanent waiting].freeze
      # Outcomes of attempts whose handler may have ended, or begun, or not.
      CUT_OFF = %w[worker_died interrupted cancelled].freeze
      # The same of steps whose attempts have a limit, each or together.
      TOO_LATE = "timeout"
      # How a step fails whose condition cannot be told.
      UNTOLD = "TaskerCore::ConditionError"
      # How it is with a condition, in words.
      CONDITIONS = { true => "is met", false => "is not met", nil => "cannot be told" }.freeze

      private

      def judge
        @steps.each_value do |step|
          # The engine itself makes its items.
          next if Growth.map(step.name)

          step.ends.each { |ended| judge_end(step, ended) }
          judge_executions(step)
          judge_condition(step)
          judge_given_up(step)
        end
      end

      def judge_end(step, ended)
        return judge_accepted(step, ended) if ACCEPTED.include?(ended.outcome)
        return if CUT_OFF.include?(ended.outcome) || (ended.outcome == TOO_LATE && limited?(step))

        tell("attempt #{ended.attempt} ended as #{ended.outcome}", step)
      end

      def limited?(step)
        Timed::TOTALS.key?(step.name) || step.name == Hung::HANGS
      end

      def judge_accepted(step, ended)
        judge_results(step, ended) if ended.to == "complete" && ended.equal?(step.transitions.last)
        outcomes = step.executions.select { |execution| execution.attempt == ended.attempt }.map(&:outcome)
        return if outcomes.include?(ended.outcome) || failed_outside?(step, ended, outcomes)

        tell("attempt #{ended.attempt} is #{ended.outcome}; by the ledger it is #{in_words(outcomes)}", step)
      end

      # Whatever the handler came to: its connection may be lost before it begins, or the commit come to nothing.
      def undone?(step, ended)
        Chaos::Effects.of?(step.name) && ended.outcome == "retryable"
      end

      def judge_given_up(step)
        step.transitions.select { |change| change.event == "item_given_up" }.each do |change|
          tell("it was given up, and was to be executed", step) unless Growth.may_be_given_up?(record, step, change)
        end
      end

      # Steps that a handler adds may be refused after it has ended; steps whose condition cannot be told are not
      # executed.
      def failed_outside?(step, ended, outcomes)
        return true if undone?(step, ended)
        return untold?(step, ended) if outcomes.empty?

        outcomes.include?("succeeded") && Growth.refused?(record, step, ended)
      end

      def untold?(step, ended)
        ended.error == UNTOLD && ended.outcome == "permanent" && expectation.met?(step.name).nil?
      end

      def in_words(outcomes)
        outcomes.empty? ? "not there" : outcomes.map { |outcome| outcome || "cut off" }.join(", ")
      end

      # What is kept is what the attempt returned whose end was accepted.
      def judge_results(step, ended)
        product = step.execution(ended.attempt)&.product
        if product && step.results != product
          tell("attempt #{ended.attempt} completed it, its results are #{step.results.inspect}", step)
        end
        taken = Branches.told(record.seed, step.name)
        told = ended.detail && ended.detail["took"]
        tell("it takes #{taken.inspect}, by the history #{told.inspect}", step) unless taken == told
      end

      def judge_executions(step)
        known = step.ends.map(&:attempt)
        step.executions.group_by(&:attempt).each do |attempt, executions|
          tell("attempt #{attempt} was executed and is not in its history", step) unless known.include?(attempt)
          tell("attempt #{attempt} was executed #{executions.size} times", step) if executions.size > 1
        end
      end

      # What parents returned cannot change once a step was reached.
      def judge_condition(step)
        executed = step.executions.any?
        left_out = step.left_out?
        tell("it was left out for its condition, and executed", step) if left_out && executed
        return unless left_out || executed

        met = expectation.met?(step.name)
        return if met == !left_out

        tell("its condition #{CONDITIONS.fetch(met)}, it was #{left_out ? "left out" : "executed"}", step)
      end
    end
  end
end
