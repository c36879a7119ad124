# frozen_string_literal: true

require "time"

module TaskerCore
  # A step that is in error or blocked and holds its task up. Frozen.
  #
  # @example
  #   failure = TaskerCore.failures(name: "order_fulfilment").first
  #   failure.error   # => "Net::ReadTimeout"
  #   failure.message # => "the bank does not answer"
  class StepFailure
    # @return [Integer]
    attr_reader :task_id
    # @return [Integer] for {Client#failures} and its `before:`
    attr_reader :step_id
    # @return [String] of the template
    attr_reader :namespace, :name, :version
    # @return [String] name of the step
    attr_reader :step
    # @return [String] name of the step of the template that it is, or is an item of, or was added like
    attr_reader :template_step
    # @return [String] error or blocked
    attr_reader :state
    # @return [String] of the task
    attr_reader :task_state
    # @return [Integer] number of attempts so far
    attr_reader :attempts
    # @return [Integer] of the change of its state that brought the step there: another one once it has changed again
    attr_reader :transition_id
    # @return [Time] UTC; when the step came into its state
    attr_reader :failed_at
    # @return [String] how, for instance "retries_exhausted"
    attr_reader :cause
    # @return [String, nil] class of the exception, TaskerCore::WorkerDiedError where a worker died; nil where nothing
    #   of the kind is behind it
    attr_reader :error
    # @return [String, nil] the handler's own code for the failure
    attr_reader :code
    # @return [String] first line of the exception's message
    attr_reader :message
    # @return [Array<String>] what can be done about it: "retry", "resolve" and, for a skippable step, "skip"
    attr_reader :remedies

    # @api private
    # @param attributes [Hash{String => Object}] as the native library gives them, frozen
    def initialize(attributes)
      @attributes = attributes
      @task_id, @step_id, @namespace, @name, @version, @step = attributes.values_at(
        "task_id", "step_id", "namespace", "name", "version", "step"
      )
      @template_step = attributes["template_step"]
      @state, @task_state, @attempts, @transition_id, @cause = attributes.values_at(
        "state", "task_state", "attempts", "transition_id", "cause"
      )
      @error, @code, @message, @remedies = attributes.values_at("error", "code", "message", "remedies")
      @failed_at = Time.iso8601(attributes.fetch("failed_at"))
      freeze
    end

    # @return [Hash{Symbol => Object}] all attributes, times as ISO 8601 text: ready for JSON
    # @example
    #   JSON.generate(failure.to_h)
    def to_h
      @attributes.transform_keys(&:to_sym)
    end

    # @return [String]
    def inspect
      "#<#{self.class} task #{task_id} #{step} #{state} #{error}>"
    end
  end
end
