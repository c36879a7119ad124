# frozen_string_literal: true

require_relative "../errors"
require_relative "step_plans"

module TaskerCore
  module Internal
    # The templates of the tasks that a worker's events tell of.
    class TaskTemplates
      # @param native [Bridge::Worker] what knows tasks and templates
      def initialize(native)
        @native = native
        @plans = StepPlans.new(native)
      end

      # @param task_id [Integer]
      # @return [TemplateSteps, nil] nil where it cannot be read
      # @example
      #   templates.of_task(42)&.name
      def of_task(task_id)
        @plans.template(@native.template_of(task_id))
      rescue Error
        nil
      end
    end
  end
end
