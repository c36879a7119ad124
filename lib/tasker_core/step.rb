# frozen_string_literal: true

module TaskerCore
  # The step that a handler executes, in one attempt.
  #
  # @example
  #   def process(task, sequence, step)
  #     Payments.charge(task.context["card"], key: step.idempotency_key, url: step.config["url"])
  #   end
  class Step
    # @return [Integer]
    attr_reader :step_id
    # @return [Integer] number of this attempt, 1 for the first
    attr_reader :attempt
    # What is kept of this attempt when it succeeds. nil until the handler assigns it, or its `process_results` does.
    #
    # @return [Object, nil]
    attr_accessor :results

    alias workflow_step_id step_id

    # @api private
    # @param step_id [Integer]
    # @param attempt [Integer]
    # @param plan [Internal::StepPlan]
    # @param task [Task]
    def initialize(step_id, attempt, plan, task)
      @step_id = step_id
      @attempt = attempt
      @plan = plan
      @task = task
      @results = nil
    end

    # @return [String]
    def name
      @plan.name
    end

    # @return [Integer] attempts that ended before this one, 0 in the first
    # @example
    #   use_the_slow_path if step.attempts.positive?
    def attempts
      attempt - 1
    end

    # @return [Integer] how often the step is executed at most
    def retry_limit
      @plan.retry_limit
    end

    # @return [Hash{String => Object}] the template's `handler_config` for this step, frozen; {} where there is none
    def config
      @plan.config
    end

    # @return [Hash{String => Object}] the task's context, frozen
    def inputs
      @task.context
    end

    # The same text in every attempt of this step, and in no other step. Pass it to systems that can tell by it that
    # they have done this already.
    #
    # @return [String] for instance "tasker-4404019"
    def idempotency_key
      "tasker-#{step_id}"
    end

    # @return [String]
    def inspect
      "#<#{self.class} #{step_id} #{name} attempt=#{attempt}>"
    end
  end
end
