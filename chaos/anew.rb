# frozen_string_literal: true

# Runs the engine under faults, and checks what it did.
module Chaos
  # Tasks of which an operator has steps executed anew, or makes forks.
  module Anew
    # The template whose steps are executed anew, and that of which forks are made.
    REDONE = "redone"
    FORKED = "forked"
    # Names of the parents by name of the step, parents first.
    GRAPH = { "stem" => [], "left" => ["stem"], "right" => ["stem"], "joint" => %w[left right],
              "leaf" => ["joint"] }.freeze
    GRAPHS = { REDONE => GRAPH, FORKED => GRAPH }.freeze

    module_function

    # @param graph [Hash{String => Array<String>}] names of the parents by name of the step, parents first
    # @param first [Array<String>] names of steps
    # @return [Array<String>] their names, and those of all steps below them
    # @example
    #   Anew.with_those_below(Anew::GRAPH, ["left"]) # => ["left", "joint", "leaf"]
    def with_those_below(graph, first)
      graph.each_with_object([]) do |(name, parents), anew|
        anew << name if first.include?(name) || parents.intersect?(anew)
      end
    end
  end
end
