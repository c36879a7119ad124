# frozen_string_literal: true

require "json"
require "time"

module TaskerCore
  # How far a task is. Frozen.
  #
  # @example
  #   status = TaskerCore.status(42)
  #   status.state                      # => "in_progress"
  #   status.steps_by_state["complete"] # => 3
  class TaskStatus
    # States that are not left.
    TERMINAL = %w[complete error cancelled resolved_manually].freeze

    # @return [Integer]
    attr_reader :task_id
    # @return [String] of the template
    attr_reader :namespace, :name, :version
    # @return [String] pending, in_progress, waiting, blocked, paused, complete, error, cancelled or resolved_manually
    attr_reader :state
    # @return [Time] UTC
    attr_reader :requested_at
    # @return [Time, nil] UTC; when the first step was claimed
    attr_reader :started_at
    # @return [Time, nil] UTC
    attr_reader :finished_at
    # @return [Time, nil] UTC; when it is cancelled unless it has ended
    attr_reader :deadline_at
    # @return [Integer] its steps are claimed before those of tasks with a higher one
    attr_reader :priority
    # @return [Hash{String => Numeric, String, nil}, nil] frozen; max_attempts, attempts, max_cost, spent, reserved and
    #   exhausted, the limit that kept a step from being started; nil for a task without a budget
    attr_reader :budget
    # @return [Hash{String => Object}, nil] of a fork: task_id and steps from which it was forked, actor and reason
    attr_reader :forked_from
    # @return [Array<Integer>] ids of the tasks that were forked from it, the first 20
    attr_reader :forks
    # @return [Integer] number of steps, without those that are retired
    attr_reader :steps_total
    # @return [Integer] steps that were added, and added anew since: they are not shown, and found by no name
    attr_reader :steps_retired
    # @return [Hash{String => Integer}] state of steps => how many; frozen
    attr_reader :steps_by_state
    # @return [Integer] attempts so far, of all steps
    attr_reader :attempts_total
    # @return [Hash{String => Object}, nil] frozen; the step that runs this task: "task_id", "step", "call", "state"
    attr_reader :parent
    # @return [Array<Hash{String => Object}>] frozen; the tasks that its steps run: "task_id", "step", "call", "name",
    #   "version", "state". Empty in lists of tasks.
    attr_reader :children
    # @return [Integer, nil] the task that this one undoes
    attr_reader :compensates
    # @return [Integer, nil] the task that undoes this one
    attr_reader :compensated_by
    # @return [String, nil] why the task is in its state, where that was said
    attr_reader :reason

    # @api private
    # @param attributes [Hash{String => Object}] as the native library gives them, frozen
    def initialize(attributes)
      @attributes = attributes
      @task_id, @namespace, @name, @version, @state, @steps_total, @steps_by_state, @attempts_total, @reason,
        @budget =
        attributes.values_at("task_id", "namespace", "name", "version", "state", "steps_total", "steps_by_state",
                             "attempts_total", "reason", "budget")
      @steps_retired, @priority = attributes.fetch_values("steps_retired", "priority") { 0 }
      @forks = attributes.fetch("forks", [])
      @requested_at, @started_at, @finished_at, @deadline_at = times(attributes)
      @parent, @children, @compensates, @compensated_by, @forked_from =
        attributes.values_at("parent", "children", "compensates", "compensated_by", "forked_from")
      freeze
    end

    # @return [Boolean] whether the task is over: complete, error, cancelled or resolved_manually
    def terminal?
      TERMINAL.include?(state)
    end

    # @return [Boolean] whether every step is done
    def complete?
      state == "complete"
    end

    # @return [Boolean] whether nothing can move without a person
    def blocked?
      state == "blocked"
    end

    # @return [Boolean] whether nothing happens by itself any more: {#terminal?} or {#blocked?}
    def settled?
      terminal? || blocked?
    end

    # @return [Hash{Symbol => Object}] all attributes, times as ISO 8601 text: ready for JSON
    # @example
    #   JSON.generate(status.to_h)
    def to_h
      @attributes.transform_keys(&:to_sym)
    end

    # @param other [Object]
    # @return [Boolean]
    def ==(other)
      other.is_a?(TaskStatus) && to_h == other.to_h
    end
    alias eql? ==

    # @return [Integer]
    def hash
      @attributes.hash
    end

    # @return [String]
    def inspect
      "#<#{self.class} #{task_id} #{namespace}/#{name} #{version} #{state} #{steps_by_state}>"
    end

    private

    def times(attributes)
      attributes.values_at("requested_at", "started_at", "finished_at", "deadline_at")
                .map { |text| text && Time.iso8601(text) }
    end
  end
end
