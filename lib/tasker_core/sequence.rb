# frozen_string_literal: true

require "json"
require_relative "errors"
require_relative "internal/global_ids"
require_relative "internal/suggestion"
require_relative "item"

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
    # @return [String] a JSON object: name of parent => results
    attr_reader :parents_json

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
    # @return [Object, nil] frozen, but for records, which are as they are now; nil while the step is not complete, or
    #   where its results are nil
    # @raise [InvalidArgument] the template has no such step
    # @raise [PermanentError] a record is gone; code RECORD_NOT_FOUND
    # @raise [BlockedError] this process does not have the class of a record
    # @example
    #   sequence.results_of("validate_order") # => { "total" => 99 }
    def results_of(name)
      name = name.to_s
      @plan.parent?(name) && parents.key?(name) ? parent(name) : fetched(name)
    end

    # A part of the items of a map step, in their order.
    #
    # @param name [String, Symbol] a map step
    # @param after [Integer, nil] number of an item: only later ones. Default nil: from the first on.
    # @param limit [Integer] at most so many, 1 to 10,000. Default 1,000. A part ends sooner, with the item with which
    #   it has come to 16 MiB.
    # @return [Array<Item>] frozen; [] at the end, and before the step has begun
    # @raise [InvalidArgument] no map step
    # @example
    #   sequence.items_of("resize", after: 999, limit: 500).count { |item| item.state == "complete" }
    def items_of(name, after: nil, limit: 1_000)
      Item.parse(@native.items_of(@task_id, name.to_s, after, limit))
    end

    # All items of a map step, read in parts.
    #
    # @param name [String, Symbol] a map step
    # @param batch [Integer] items of a part, 1 to 10,000. Default 1,000.
    # @yieldparam item [Item]
    # @return [Enumerator, nil] without a block, an enumerator
    # @raise [InvalidArgument] no map step
    # @example
    #   sequence.each_item("resize").sum { |item| item.results["bytes"] }
    def each_item(name, batch: 1_000, &block)
      items = Item.in_parts { |after| items_of(name, after: after, limit: batch) }
      block ? items.each(&block) : items
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

    # @return [Array<Entry>] the steps of {#names}; nothing is read before it is asked for
    # @example
    #   sequence.steps.map(&:name) # => ["validate_order", "charge_card"]
    def steps
      names.map { |name| Entry.new(name, self) }
    end

    # @return [Array<String>] names of the template's steps, in its order: prototypes among them, which no task has, and
    #   none of those that were added
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

    def parent(name)
      return parents[name] unless Internal::GlobalIds.in?(@parents_json)

      @fetched ||= {}
      @fetched[name] ||= Internal::GlobalIds.located(parents[name], @parents_json, "results of #{name}")
    end

    # A step that is complete stays so: what was fetched once is right for the rest of this attempt. What was not
    # there yet is asked for again.
    def fetched(name)
      check(name)
      @fetched ||= {}
      @fetched[name] ||= (text = @native.results_of(@task_id, name)) &&
                         Internal::GlobalIds.read(text, "results of #{name}")
    end

    def parse(text)
      JSON.parse(text, freeze: true, max_nesting: false)
    end

    # The names of steps that are added stand in the database.
    def check(name)
      return if @plan.step?(name) || @plan.template.grows?

      raise InvalidArgument.new("#{@plan.template} has no step #{name.inspect}" \
                                "#{Internal::Suggestion.sentence(name, names)}",
                                details: { "key" => "step", "value" => name })
    end
  end
end
