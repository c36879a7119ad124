# frozen_string_literal: true

require "zlib"

# Runs the engine under faults, and checks what it did.
module Chaos
  # Steps that are added while their task runs: by a handler, or as the items of a list.
  module Growth
    # The template whose handler adds steps, the step that does, the prototype, and the step that waits for them.
    TEMPLATE = "grown"
    ADDS = "split"
    PROTOTYPE = "part"
    GATHERS = "gather"
    # The template with a step that is executed for each item of a list.
    MAPPED = "mapped"
    MAP = "each"
    # Names of the parents by name of the step of the template, parents first.
    GRAPHS = { TEMPLATE => { ADDS => [], GATHERS => [ADDS] },
               MAPPED => { "listed" => [], MAP => ["listed"], "reduced" => [MAP] } }.freeze
    # Items that may run at a time.
    MAX_PARALLEL = 2
    # The list, over the task's seed, and how many items it has.
    LIST = "context.seed % 5 == 0 ? [] : (context.seed % 2 == 0 ? [0, 1, 2] : [0, 1, 2, 3, 4, 5])"
    # As the template says it.
    MAP_OPTIONS = { over: LIST, max_parallel: MAX_PARALLEL, tolerate: "all" }.freeze

    module_function

    # @param seed [Integer] of the task
    # @param step [String] name of the step
    # @return [Array<String>] names of the steps that its handler adds
    # @example
    #   Growth.added(7, "split") # => ["part_0", "part_1"]
    def added(seed, step)
      return [] unless step == ADDS

      Array.new(Zlib.crc32("#{seed}/added") % 5) { |number| "#{PROTOTYPE}_#{number}" }
    end

    # @param seed [Integer] of the task
    # @return [Array<String>] names of the items
    # @example
    #   Growth.items(2) # => ["each[0]", "each[1]", "each[2]"]
    def items(seed)
      size = (seed % 5).zero? ? 0 : 3 + (3 * (seed % 2))
      Array.new(size) { |number| "#{MAP}[#{number}]" }
    end

    # @param step [String] name of a step
    # @return [Boolean] whether it is an item of the list
    # @example
    #   Growth.item?("each[0]") # => true
    def item?(step)
      step.start_with?("#{MAP}[")
    end

    # Steps cannot be added before one that an operator has skipped or resolved: then the attempt that would fails.
    #
    # @param record [Record]
    # @param step [Record::Step]
    # @param ended [Record::Transition, nil] that ends an attempt of it. Default: that of the last one.
    # @return [Boolean] whether that became of the attempt
    def refused?(record, step, ended = step.ends.last)
      return false unless record.template == TEMPLATE && added(record.seed, step.name).any?

      ended&.outcome == "permanent" && gathers_steered?(record, before: ended)
    end

    # @param record [Record]
    # @return [Hash{String => Array<String>}] names of the parents by name of the step, with those that were to be added
    def graph(record)
      graph = GRAPHS.fetch(record.template)
      return graph unless grew?(record)

      record.template == MAPPED ? with_items(graph, items(record.seed)) : with_added(graph, added(record.seed, ADDS))
    end

    # @api private
    def gathers_steered?(record, before:)
      changes = record.step(GATHERS)&.transitions || []
      changes.any? { |change| change.actor && change.id < before.id }
    end

    # @api private
    def grew?(record)
      step = record.step(record.template == MAPPED ? MAP : ADDS)
      !step.nil? && step.transitions.any? { |change| %w[succeeded mapped].include?(change.event) }
    end

    # @api private
    def with_added(graph, added)
      { ADDS => graph.fetch(ADDS), **added.to_h { |name| [name, [ADDS]] }, GATHERS => [ADDS, *added] }
    end

    # @api private
    def with_items(graph, items)
      { "listed" => graph.fetch("listed"), **items.to_h { |name| [name, ["listed"]] }, **graph.slice(MAP, "reduced") }
    end
  end
end
