# frozen_string_literal: true

require "zlib"

module Chaos
  # Which branches decision steps take, and under which conditions steps are executed.
  module Branches
    # A condition: as the template says it, and the same in Ruby, over the task's seed and the results of the step's
    # parents by name; nil where it cannot be told.
    Condition = Struct.new(:expression, :met)

    # Names of the branches by name of the decision step.
    DECISIONS = { "route" => %w[b0 b1 b2] }.freeze
    # By name of the step.
    CONDITIONS = {
      "b2" => Condition.new("context.seed % 4 != 0", ->(seed, _) { seed % 4 != 0 }),
      "checked" => Condition.new("has(results.merge.attempt) && results.merge.attempt % 2 == 1",
                                 ->(_, results) { results["merge"].fetch("attempt", 0).odd? }),
      "doubtful" => Condition.new("context.seed % 3 != 0 || context.missing", ->(seed, _) { seed % 3 != 0 || nil })
    }.each_value(&:freeze).freeze
    # On edges, by names of parent and child.
    EDGES = {
      %w[plain weighed] => Condition.new("context.seed % 5 < 3", ->(seed, _) { seed % 5 < 3 })
    }.each_value(&:freeze).freeze
    # Names of the parents by name of the step, parents first.
    GRAPH = { "route" => [], **DECISIONS.fetch("route").to_h { |name| [name, ["route"]] },
              "merge" => DECISIONS.fetch("route"), "checked" => ["merge"], "below" => ["checked"],
              "any" => %w[b0 b1 checked], "doubtful" => [], "certain" => ["doubtful"],
              "despite" => %w[doubtful any], "plain" => [], "weighed" => ["plain"],
              "merged" => %w[plain weighed] }.freeze

    module_function

    # @param seed [Integer] of the task
    # @param step [String] name of the step
    # @return [Array<String>, nil] names of the branches that its handler takes; nil: it decides nothing
    # @example
    #   Branches.taken(7, "route") # => ["b1"]
    def taken(seed, step)
      branches = DECISIONS[step] or return
      random = Random.new(Zlib.crc32("#{seed}/#{step}/taken"))
      branches.select { random.rand(2).zero? }
    end

    # @param seed [Integer] of the task
    # @param step [String] name of a step that is complete
    # @return [Array<String>, nil] names of the branches that it takes by the history: those of its handler, or the
    #   steps for which the conditions on its edges are met; nil: it has none
    # @example
    #   Branches.told(4, "plain") # => ["merged"]
    def told(seed, step)
      return taken(seed, step) unless EDGES.any? { |(parent, _), _| parent == step }

      children = GRAPH.select { |_, parents| parents.include?(step) }.keys
      children.select { |child| taken_by?(seed, step, child) }
    end

    # @param seed [Integer] of the task
    # @param step [String] name of the step
    # @param results [Hash{String => Object}] of the parents that have some, by name
    # @return [Boolean, nil] whether the step is executed; nil: that cannot be told, and it fails
    # @example
    #   Branches.met?(3, "doubtful", {}) # => nil
    def met?(seed, step, results)
      condition = CONDITIONS[step]
      condition.nil? || condition.met.call(seed, results)
    end

    # @param seed [Integer] of the task
    # @param parent [String] name of a step that is complete
    # @param child [String] name of a step that depends on it
    # @return [Boolean] whether it is so for the child
    # @example
    #   Branches.taken_by?(4, "plain", "weighed") # => false
    def taken_by?(seed, parent, child)
      condition = EDGES[[parent, child]]
      condition.nil? || condition.met.call(seed, {})
    end

    # @param parents [Array<String>]
    # @param child [String] name of the step that depends on them
    # @return [Array<String, Hash>] the same with the conditions on the edges, as a template has them
    def edges(parents, child)
      parents.map do |parent|
        condition = EDGES[[parent, child]]
        condition ? { step: parent, when: condition.expression } : parent
      end
    end
  end
end
