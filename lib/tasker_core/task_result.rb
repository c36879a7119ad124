# frozen_string_literal: true

require "json"
require "time"
require_relative "errors"
require_relative "internal/suggestion"

module TaskerCore
  # What the steps of a task produced. Frozen.
  #
  # @example
  #   result = TaskerCore.result(42)
  #   result.results_of("charge_card")  # => { "payment_id" => "p-7" }
  #   result.critical_path[:seconds]    # => 1.75
  class TaskResult
    # One step and how it ended.
    class Step
      # @return [String]
      attr_reader :name, :state
      # @return [Integer] number of attempts so far
      attr_reader :attempts
      # @return [Object, nil] frozen; nil while the step is not complete
      attr_reader :results
      # @return [Hash{String => String}, nil] "class", "message" and "code" of the last failure; nil where none counts
      attr_reader :error
      # @return [Array<String>] names of the direct parents
      attr_reader :depends_on
      # @return [Float, nil] how long the last attempt took, in milliseconds
      attr_reader :execution_ms
      # @return [String, nil] name of the step whose handler added it
      attr_reader :added_by
      # @return [Hash{String => Integer}, nil] of a map step that has begun: how many items are in which state
      attr_reader :items
      # @return [Time, nil] UTC; of the last attempt
      attr_reader :started_at, :finished_at

      # @api private
      # @param attributes [Hash{String => Object}] frozen
      def initialize(attributes)
        @attributes = attributes
        @name, @state, @attempts, @results, @error, @depends_on, @execution_ms =
          attributes.values_at("name", "state", "attempts", "results", "error", "depends_on", "execution_ms")
        @added_by, @items = attributes.values_at("added_by", "items")
        @started_at, @finished_at =
          attributes.values_at("started_at", "finished_at").map { |text| text && Time.iso8601(text) }
        freeze
      end

      # @return [Boolean]
      def complete?
        state == "complete"
      end

      # @return [Hash{Symbol => Object}] all attributes, times as ISO 8601 text
      def to_h
        @attributes.transform_keys(&:to_sym)
      end

      # @return [String]
      def inspect
        "#<#{self.class} #{name} #{state} attempts=#{attempts}>"
      end
    end

    # @return [Integer]
    attr_reader :task_id
    # @return [String] as {TaskStatus#state}
    attr_reader :state
    # @return [Integer] as {TaskStatus#priority}
    attr_reader :priority
    # @return [Array<Step>] in topological order: no step before its parents
    attr_reader :steps

    # @api private
    # @param attributes [Hash{String => Object}] as the native library gives them, frozen
    def initialize(attributes)
      @task_id, @state, steps = attributes.values_at("task_id", "state", "steps")
      @priority = attributes.fetch("priority", 0)
      @steps = steps.map { |step| Step.new(step) }.freeze
      @by_name = @steps.to_h { |step| [step.name, step] }.freeze
      freeze
    end

    # @return [Boolean] whether the task is over
    def terminal?
      TaskStatus::TERMINAL.include?(state)
    end

    # @return [Boolean] whether every step is done
    def complete?
      state == "complete"
    end

    # @param name [String, Symbol]
    # @return [Step]
    # @raise [InvalidArgument] the task has no such step
    # @example
    #   result.step("charge_card").attempts # => 3
    def step(name)
      @by_name.fetch(name.to_s) do
        raise InvalidArgument.new("task #{task_id} has no step #{name.to_s.inspect}#{advice(name.to_s)}",
                                  details: { "key" => "step", "value" => name.to_s })
      end
    end

    # @param name [String, Symbol]
    # @return [Object, nil] frozen; nil while the step is not complete
    # @raise [InvalidArgument] the task has no such step
    # @example
    #   result.results_of("charge_card") # => { "payment_id" => "p-7" }
    def results_of(name)
      step(name).results
    end

    # The chain of dependent steps whose last attempts took longest in all. No number of workers makes the task
    # faster than this.
    #
    # @return [Hash{Symbol => Object}] frozen: names [Array<String>], seconds [Float]; of steps that were executed
    # @example
    #   result.critical_path # => { names: ["validate_order", "charge_card"], seconds: 1.75 }
    def critical_path
      finishes = {}
      steps.each do |step|
        parents = finishes.slice(*step.depends_on)
        before, (finish,) = parents.max_by { |_, (parent_finish, _)| parent_finish }
        finishes[step.name] = [(finish || 0.0) + (step.execution_ms || 0.0), before]
      end
      last = finishes.keys.max_by { |name| finishes[name].first }
      { names: chain(last, finishes), seconds: (last ? finishes[last].first : 0.0) / 1000 }.freeze
    end

    # @return [Hash{Symbol => Object}] task_id, state, priority where it is not 0, and steps, ready for JSON
    # @example
    #   JSON.generate(result.to_h)
    def to_h
      { task_id: task_id, state: state, **(priority.zero? ? {} : { priority: priority }), steps: steps.map(&:to_h) }
    end

    # @return [String]
    def inspect
      "#<#{self.class} #{task_id} #{state} (#{steps.size} steps)>"
    end

    private

    # Items of map steps are not among the steps.
    def advice(name)
      map = name[/\A(.+)\[\d+\]\z/, 1]
      return Internal::Suggestion.sentence(name, @by_name.keys) unless map && @by_name[map]&.items

      " here, as it is an item: TaskerCore.result(#{task_id}, step: #{name.inspect}) gives it"
    end

    def chain(last, finishes)
      names = []
      while last
        names.unshift(last) if step(last).execution_ms
        last = finishes.fetch(last).last
      end
      names.freeze
    end
  end
end
