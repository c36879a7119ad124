# frozen_string_literal: true

require "zlib"
require_relative "undo"

# Runs the engine under faults, and checks what it did.
module Chaos
  # Steps that are added while their task runs: by a handler, or as the items of a list.
  module Growth
    # The template whose handler adds steps, the step that does, the prototype, and the step that waits for them.
    TEMPLATE = "grown"
    ADDS = "split"
    PROTOTYPE = "part"
    GATHERS = "gather"
    # A step that is executed for each item of a list: its name, and how many items may end in error (nil: all).
    Map = Struct.new(:step, :tolerate)
    # The template with a list whose steps are executed anew.
    REDONE = "mapped"
    # By the name of the template. Of the second list's items many fail.
    MAPS = { REDONE => Map.new("each", nil), "picked" => Map.new("pick", 1) }.each_value(&:freeze).freeze
    # Whose list is empty: the step that waits until all are undone.
    EMPTY = Map.new(Undo::ALL_UNDONE, 0).freeze
    # Names of items, and of those of which many fail: each second one when it is executed first.
    ITEMS = /\A(each|pick)\[/
    FAILING = /\Apick\[/
    # Names of the parents by name of the step of the template, parents first.
    GRAPHS = { TEMPLATE => { ADDS => [], GATHERS => [ADDS] },
               **MAPS.transform_values { |map| { "listed" => [], map.step => ["listed"], "reduced" => [map.step] } } }
             .freeze
    # Items that may run at a time.
    MAX_PARALLEL = 2
    # The list, over the task's seed, and how many items it has.
    LIST = "context.seed % 5 == 0 ? [] : (context.seed % 2 == 0 ? [0, 1, 2] : [0, 1, 2, 3, 4, 5])"

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

    # @param step [String] name of a step
    # @return [Map, nil] nil: it is executed for no list
    # @example
    #   Growth.map("pick").tolerate # => 1
    def map(step)
      [EMPTY, *MAPS.values].find { |map| map.step == step }
    end

    # @param step [String] name of a step
    # @return [Hash{Symbol => Object}, nil] what the template says of its list
    def map_options(step)
      map = map(step) or return
      { over: LIST, max_parallel: MAX_PARALLEL, tolerate: map.tolerate || "all" }
    end

    # @param map [Map]
    # @param seed [Integer] of the task
    # @return [Array<String>] names of the items
    # @example
    #   Growth.items(Growth.map("each"), 2) # => ["each[0]", "each[1]", "each[2]"]
    def items(map, seed)
      size = map == EMPTY || (seed % 5).zero? ? 0 : 3 + (3 * (seed % 2))
      Array.new(size) { |number| "#{map.step}[#{number}]" }
    end

    # @param step [String] name of a step
    # @return [Boolean] whether it is an item of a list
    # @example
    #   Growth.item?("each[0]") # => true
    def item?(step)
      step.match?(ITEMS)
    end

    # @param step [String] name of a step
    # @return [Boolean] whether it is added, an item or not, and gone for a time where that is done anew
    # @example
    #   Growth.comes_and_goes?("part_1") # => true
    def comes_and_goes?(step)
      item?(step) || step.start_with?("#{PROTOTYPE}_")
    end

    # What a handler adds is not there before its attempt has succeeded: one whose results an operator gives adds
    # nothing, and does when it is executed anew.
    #
    # @param record [Record]
    # @param name [String] of a step
    # @param change [Record::Transition] of any step of the task
    # @return [Boolean] whether there was such a step then
    def there?(record, name, change)
      return true unless record.template == TEMPLATE && name.start_with?("#{PROTOTYPE}_")

      record.step(ADDS).transitions.any? { |other| other.event == "succeeded" && other.id < change.id }
    end

    # @param record [Record] with a list
    # @param before [Record::Transition]
    # @return [Integer] items that were in error then
    def failed(record, before:)
      record.steps.count { |step| item?(step.name) && step.state_before(before) == "error" }
    end

    # An item is not executed when it has not begun and more have failed than may.
    #
    # @param record [Record]
    # @param step [Record::Step]
    # @param change [Record::Transition] by which it was given up
    # @return [Boolean] whether it might be
    def may_be_given_up?(record, step, change)
      most = MAPS[record.template]&.tolerate
      return false unless most && item?(step.name) && ever_failed(record, before: change) > most

      step.transitions.take_while { |other| other.id < change.id }.none?(&:tries?)
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

      map = MAPS[record.template]
      map ? with_items(graph, map, items(map, record.seed)) : with_added(graph, added(record.seed, ADDS))
    end

    # @api private
    def gathers_steered?(record, before:)
      changes = record.step(GATHERS)&.transitions || []
      changes.any? { |change| change.actor && change.id < before.id }
    end

    # Those that have failed may have been tried again since.
    #
    # @api private
    def ever_failed(record, before:)
      record.steps.count do |step|
        item?(step.name) && step.transitions.any? { |change| change.to == "error" && change.id < before.id }
      end
    end

    # What was added before the step, or one above it, was executed anew is gone, until it has added it again. A map
    # step that waits for its items tells nothing of that: it was pending, and is.
    #
    # @api private
    def grew?(record)
      step = record.step(MAPS[record.template]&.step || ADDS)
      grown = step && step.since_retry.select { |change| %w[succeeded mapped].include?(change.event) }.last
      !grown.nil? && !anew_above?(record, step, grown)
    end

    # @api private
    def anew_above?(record, step, grown)
      above = GRAPHS.fetch(record.template).fetch(step.name)
      above.any? { |name| record.step(name).redone.any? { |change| change.id > grown.id } }
    end

    # @api private
    def with_added(graph, added)
      { ADDS => graph.fetch(ADDS), **added.to_h { |name| [name, [ADDS]] }, GATHERS => [ADDS, *added] }
    end

    # @api private
    def with_items(graph, map, items)
      { "listed" => graph.fetch("listed"), **items.to_h { |name| [name, ["listed"]] },
        **graph.slice(map.step, "reduced") }
    end
  end
end
