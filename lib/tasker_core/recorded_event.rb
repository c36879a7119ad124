# frozen_string_literal: true

require "time"

module TaskerCore
  # A change of state of a task or a step, as the history has it: what a {Feed} gives out. Frozen; parts are computed
  # when they are asked for.
  #
  # @example
  #   event.name      # => "step.succeeded"
  #   event.step_name # => "charge_card"
  class RecordedEvent
    # The version of a template.
    Template = Struct.new(:namespace, :name, :version) do
      # @return [String] "namespace/name version"
      def to_s
        "#{namespace}/#{name} #{version}"
      end
    end

    # @api private
    # @param attributes [Hash{String => Object}] frozen
    def initialize(attributes)
      @attributes = attributes
      freeze
    end

    # @return [Integer] its number: higher than that of every transition that it follows from
    def number
      @attributes.fetch("number")
    end

    # @return [String] one of {Event::NAMES}
    def name
      @attributes.fetch("name")
    end

    # @return [Time] UTC; when it was written, by the database's clock, to the microsecond
    def at
      Time.iso8601(@attributes.fetch("at"))
    end

    # @return [Boolean] whether a step changed its state; otherwise a task did
    def step?
      !step_id.nil?
    end

    # @return [Integer]
    def task_id
      @attributes.fetch("task_id")
    end

    # @return [Integer, nil] nil for a task's event
    def step_id
      @attributes["step_id"]
    end

    # @return [String, nil] nil for a task's event, and where the task was deleted meanwhile
    def step_name
      @attributes["step_name"]
    end

    # @return [Template, nil] the version that the task was made from; nil where the task was deleted meanwhile
    def template
      found = @attributes["template"]
      found && Template.new(*found.values_at("namespace", "name", "version")).freeze
    end

    # @return [String] the state before
    def from
      @attributes.fetch("from")
    end

    # @return [String] the state after
    def to
      @attributes.fetch("to")
    end

    # @return [Integer, nil] number of the step's attempt, from 1, 0 before the first; nil for a task's event
    def attempt
      @attributes["attempt"]
    end

    # @return [Integer, nil] the worker that holds or held the step's claim; nil where there is none
    def worker_id
      @attributes["worker_id"]
    end

    # @return [String, nil] how the attempt ended: "succeeded", "retryable" and so on; nil where none ended
    def outcome
      @attributes["outcome"]
    end

    # @return [Float, nil] how long the handler ran, in milliseconds; nil where no attempt ended
    def execution_ms
      @attributes["execution_us"]&.fdiv(1000)
    end

    # @return [Hash{String => Object}, nil] who asked for it and why, until when a retry waits, and the like; frozen
    def detail
      @attributes["detail"]
    end

    # @return [Hash{String => Object}, nil] "class", "message" and more of the failure that ended the attempt; frozen
    def error
      @attributes["error"]
    end

    # @return [Hash{Symbol => Object}] all parts, the time as ISO 8601 text
    # @example
    #   puts JSON.generate(event.to_h)
    def to_h
      @attributes.transform_keys(&:to_sym)
    end

    # @return [String]
    def inspect
      "#<#{self.class} #{number} #{name} #{step? ? "step #{step_id}" : "task #{task_id}"} #{from} > #{to}>"
    end
  end
end
