# frozen_string_literal: true

require_relative "judge"

module Chaos
  module Judges
    # A step that runs another workflow makes one task for it, and is told how that ended.
    class Workflows < Judge
      private

      def judge
        children = record.children.to_a.group_by(&:step)
        @steps.each_value do |step|
          judge_number(step, children.fetch(step.name, []))
          next unless Nested::ALL.key?(step.name)

          step.executions.each { |execution| judge_told(step, execution, children.fetch(step.name, [])) }
        end
      end

      # One that was cancelled cannot go on: a retry makes another one.
      def judge_number(step, children)
        unasked = children.any? && step.executions.empty?
        tell("it runs tasks #{ids(children)}, and no handler asked for that", step) if unasked
        most = 1 + step.transitions.count { |change| change.event == "retried" }
        tell("it ran tasks #{ids(children)}", step) if children.size > most
      end

      def judge_told(step, execution, children)
        product = execution.product or return
        if product.key?("ran")
          judge_results(step, execution, children)
        elsif product.key?("workflow_failed")
          judge_failure(step, execution, children)
        end
      end

      def judge_results(step, execution, children)
        child = children.last
        return if child&.state == "complete" && child.results == execution.product["ran"]

        tell("attempt #{execution.attempt} was told of the end of a task, of #{child.inspect} it is not", step)
      end

      # That of which it was told last may go on afterwards, when the step is tried again.
      def judge_failure(step, execution, children)
        child = children.find { |one| one.task_id == execution.product["workflow_failed"] }
        if child.nil?
          tell("attempt #{execution.attempt} was told of a task that it does not run", step)
        elsif last?(step, execution) && !%w[error cancelled].include?(child.state)
          tell("attempt #{execution.attempt} was told that task #{child.task_id} failed, it is #{child.state}", step)
        end
      end

      def last?(step, execution)
        step.workflow_failed? && step.ends.last.attempt == execution.attempt
      end

      def ids(children)
        children.map(&:task_id).join(", ")
      end
    end
  end
end
