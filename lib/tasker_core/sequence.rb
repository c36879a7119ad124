# frozen_string_literal: true

require "json"
require_relative "errors"
require_relative "internal/suggestion"

module TaskerCore
  # The other steps of a task, as the handler of one of them sees them. Results are read when asked for: those of
  # direct parents came with the step, those of any other step are fetched from the database.
  #
  # @example
  #   def process(task, sequence, step)
  #     total = sequence.results_of("validate_order").fetch("total")
  #     stock = sequence.find("reserve_inventory").results
  #   end
  class Sequence
    # One step of the task.
    class Entry
      # @return [String]
      attr_reader :name

      # @api private
      def initialize(name, sequence)
        @name = name
        @sequence = sequence
      end

      # @return [Object, nil] frozen; nil while the step is not complete
      def results
        @sequence.results_of(name)
      end

      # @return [String] as it is now, such as "complete", "skipped" or "error"
      def state
        @sequence.state_of(name)
      end
    end

    # @api private
    # @param task_id [Integer]
    # @param plan [Internal::StepPlan] the step that asks
    # @param parents_json [String] a JSON object: name of parent => results
    # @param native [Internal::Bridge::Worker] what fetches other results
    def initialize(task_id, plan, parents_json, native)
      @task_id = task_id
      @plan = plan
      @parents_json = parents_json
      @native = native
      @parents = nil
      @fetched = nil
    end

    # @param name [String, Symbol]
    # @return [Object, nil] frozen; nil while the step is not complete, or where its results are nil
    # @raise [InvalidArgument] the template has no such step
    # @example
    #   sequence.results_of("validate_order") # => { "total" => 99 }
    def results_of(name)
      name = name.to_s
      @plan.parent?(name) ? parents[name] : fetched(name)
    end

    # The state of a step as it is now: for a step that does not wait for all its parents, or not for their success.
    #
    # @param name [String, Symbol]
    # @return [String] such as "complete", "skipped" or "error"
    # @raise [InvalidArgument] the template has no such step
    # @example
    #   sequence.state_of("reserve_inventory") # => "error"
    def state_of(name)
      name = name.to_s
      check(name)
      @native.state_of(@task_id, name)
    end

    # @param name [String, Symbol]
    # @return [Entry] answers `name`, `results` and `state`
    # @raise [InvalidArgument] the template has no such step
    # @example
    #   sequence.find("validate_order").results
    def find(name)
      name = name.to_s
      check(name)
      Entry.new(name, self)
    end
    alias find_step_by_name find

    # @return [Array<String>] names of all steps of the task, in the template's order
    def names
      @plan.step_names
    end

    # @return [String]
    def inspect
      "#<#{self.class} of task #{@task_id}, seen from #{@plan.name}>"
    end

    private

    def parents
      @parents ||= parse(@parents_json)
    end

    # A step that is complete stays so: what was fetched once is right for the rest of this attempt. What was not
    # there yet is asked for again.
    def fetched(name)
      check(name)
      @fetched ||= {}
      @fetched[name] ||= (text = @native.results_of(@task_id, name)) && parse(text)
    end

    def parse(text)
      JSON.parse(text, freeze: true, max_nesting: false)
    end

    def check(name)
      return if @plan.step?(name)

      raise InvalidArgument.new("#{@plan.template} has no step #{name.inspect}" \
                                "#{Internal::Suggestion.sentence(name, names)}",
                                details: { "key" => "step", "value" => name })
    end
  end
end
