# frozen_string_literal: true

module Bench
  # Shapes of graphs. Each takes the number of steps and gives the names of the parents by the name of the step,
  # parents first.
  module Graphs
    # So that every run has the same random graph.
    SEED = 20_250_101
    # Most parents of a step in a random graph.
    MOST_PARENTS = 3
    # Layers of a graph whose layers have one width.
    LAYERS = 10

    module_function

    # Steps that do not know each other.
    #
    # @param steps [Integer]
    # @return [Hash{String => Array<String>}]
    # @example
    #   Graphs.independent(2) # => {"s0" => [], "s1" => []}
    def independent(steps)
      Array.new(steps) { |index| ["s#{index}", []] }.to_h
    end

    # One step after the other.
    #
    # @param (see .independent)
    # @return (see .independent)
    def line(steps)
      Array.new(steps) { |index| ["s#{index}", index.zero? ? [] : ["s#{index - 1}"]] }.to_h
    end

    # A first step, then all but one at the same time, then the last one.
    #
    # @param steps [Integer] 3 or more
    # @return (see .independent)
    def fan(steps)
      middle = Array.new(steps - 2) { |index| "s#{index + 1}" }
      { "s0" => [], **middle.to_h { |name| [name, ["s0"]] }, "s#{steps - 1}" => middle }
    end

    # About as many layers as steps in a layer. A step has one to three parents, one of them in the layer above, the
    # others in any layer above. The same graph each time.
    #
    # @param (see .independent)
    # @return (see .independent)
    def layered(steps)
      random = Random.new(SEED)
      width = Integer.sqrt(steps - 1) + 1
      Array.new(steps) do |index|
        first = index / width * width
        ["s#{index}", first.zero? ? [] : parents(first, width, random)]
      end.to_h
    end

    # Ten layers of one width. Below the first one a step has two parents in the layer above: graphs of any size have as
    # many edges a step.
    #
    # @param steps [Integer] 10 or more
    # @return (see .independent)
    # @example
    #   Graphs.woven(20)["s2"] # => ["s0", "s1"]
    def woven(steps)
      width = (steps / LAYERS.to_f).ceil
      Array.new(steps) do |index|
        layer, place = index.divmod(width)
        above = [place, (place + 1) % width].uniq.map { |parent| "s#{((layer - 1) * width) + parent}" }
        ["s#{index}", layer.zero? ? [] : above]
      end.to_h
    end

    # A map step, which waits for its items, and a step below it.
    #
    # @param steps [Integer] 3 or more
    # @return (see .independent)
    # @example
    #   Graphs.mapped(4) # => {"s2" => [], "s3" => [], "s0" => ["s2", "s3"], "s1" => ["s0"]}
    def mapped(steps)
      items = Array.new(steps - 2) { |index| "s#{index + 2}" }
      { **items.to_h { |name| [name, []] }, "s0" => items, "s1" => ["s0"] }
    end

    # @api private
    def parents(first, width, random)
      above = first - 1 - random.rand(width)
      others = Array.new(random.rand(MOST_PARENTS)) { random.rand(first) }
      [above, *others].uniq.map { |index| "s#{index}" }
    end
  end
end
