# frozen_string_literal: true

require_relative "../errors"
require_relative "bridge"
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

      # @param step_id [Integer]
      # @return [String, nil] nil where it cannot be read
      # @example
      #   templates.step_name(42 << 20) # => "validate_order"
      def step_name(step_id)
        bits = Bridge::STEP_INDEX_BITS
        steps = of_task(step_id >> bits)
        steps&.step_name(step_id & ((1 << bits) - 1)) || (@native.step_name(step_id) if steps&.grows?)
      rescue Error
        nil
      end
    end
  end
end
