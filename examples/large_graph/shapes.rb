# frozen_string_literal: true

# Large graphs with the structure of real computations. Every duration follows from the number of operations
# that the step stands for, so the same arguments give the same graph, byte for byte.
module LargeGraph
  # Edge of a square tile of numbers.
  TILE = 512
  # Operations a second that one step is taken to do: the order of magnitude of one core.
  OPERATIONS_PER_SECOND = 1.0e10
  # Bytes of one number in double precision.
  NUMBER_BYTES = 8
  # Bytes of one tile.
  TILE_BYTES = TILE * TILE * NUMBER_BYTES

  module_function

  # One step of a graph in the form of recorded workflows.
  #
  # @param id [String] unique in the graph
  # @param name [String] kind of work
  # @param parents [Array<String>] ids
  # @param operations [Numeric] what it computes, which gives its duration
  # @param bytes [Array<Integer>] what it reads and what it writes
  # @return [Hash]
  def task(id, name, parents, operations:, bytes:)
    { "id" => id, "name" => name, "parents" => parents,
      "runtime_s" => (operations / OPERATIONS_PER_SECOND).round(6),
      "input_bytes" => bytes.first, "output_bytes" => bytes.last }
  end

  # Tiled Cholesky factorisation (right-looking). Column k factorises its diagonal tile (potrf), solves the tiles
  # below it (trsm), and updates every tile to the right (syrk on the diagonal, gemm elsewhere). An
  # n x n grid of tiles has n(n+1)(n+2)/6 steps: 969 for 17.
  # Operation counts: Buttari, Langou, Kurzak, Dongarra, "A class of parallel tiled linear algebra algorithms
  # for multicore architectures", 2009, section 2.
  class Cholesky
    # Operations in units of the cube of the tile's edge.
    OPERATIONS = { "potrf" => 1.0 / 3, "trsm" => 1.0, "syrk" => 1.0, "gemm" => 2.0 }.freeze

    # @param tiles [Integer] tiles along one edge of the matrix, at least 1
    def initialize(tiles:)
      @tiles = tiles
      @writer = {}
    end

    # @return [String]
    def name
      "cholesky-#{@tiles}"
    end

    # @return [Array<Hash>] steps, parents first
    def tasks
      (0...@tiles).flat_map { |column| factorise(column) }
    end

    private

    def factorise(column)
      below = (column + 1...@tiles)
      [kernel("potrf", column, column, column)] +
        below.map { |row| kernel("trsm", row, column, column, reads: [[column, column]]) } +
        below.flat_map { |row| (column + 1..row).map { |target| update(row, target, column) } }
    end

    def update(row, target, column)
      return kernel("syrk", row, row, column, reads: [[row, column]]) if row == target

      kernel("gemm", row, target, column, reads: [[row, column], [target, column]])
    end

    # The step that writes tile (row, column) in the given round, after the last writers of what it reads.
    def kernel(kind, row, column, round, reads: [])
      id = "#{kind}(#{row},#{column})@#{round}"
      tiles = [*reads, [row, column]]
      parents = tiles.filter_map { |tile| @writer[tile] }
      @writer[[row, column]] = id
      LargeGraph.task(id, kind, parents, operations: OPERATIONS.fetch(kind) * (TILE**3),
                                         bytes: [tiles.size * TILE_BYTES, TILE_BYTES])
    end
  end

  # Alignment of two sequences block by block: a block needs the one above, the one at its left and the one
  # between them, so work moves over the grid as a wave front.
  class Wavefront
    # Operations for one cell of the alignment: three sums and three comparisons.
    CELL_OPERATIONS = 6
    # Letters of each sequence in one block.
    BLOCK = 4096

    # @param tiles [Integer] blocks along each sequence, at least 1
    def initialize(tiles:)
      @tiles = tiles
    end

    # @return [String]
    def name
      "wavefront-#{@tiles}"
    end

    # @return [Array<Hash>] steps, parents first
    def tasks
      range = (0...@tiles)
      range.flat_map { |row| range.map { |column| block(row, column) } }
    end

    private

    def block(row, column)
      neighbours = [[row - 1, column - 1], [row - 1, column], [row, column - 1]]
      parents = neighbours.reject { |cell| cell.min.negative? }.map { |cell| id(*cell) }
      LargeGraph.task(id(row, column), "align", parents, operations: CELL_OPERATIONS * (BLOCK**2),
                                                         bytes: [2 * BLOCK, 2 * BLOCK * 4])
    end

    def id(row, column)
      "align(#{row},#{column})"
    end
  end

  # A split, `tiles` squared maps, one reducer for each row of maps that reads all of its row and of the next,
  # and a merge at the end.
  class MapReduce
    # Records in one split, and operations for each.
    RECORDS = 200_000
    RECORD_OPERATIONS = 500
    RECORD_BYTES = 100

    # @param tiles [Integer] number of reducers; the maps are its square. At least 1.
    def initialize(tiles:)
      @tiles = tiles
    end

    # @return [String]
    def name
      "map_reduce-#{@tiles}"
    end

    # @return [Array<Hash>] steps, parents first
    def tasks
      [work("split", [], 1), *maps, *reducers, work("merge", reducers.map { |task| task["id"] }, @tiles)]
    end

    private

    def maps
      (0...@tiles**2).map { |index| work("map", ["split"], 1, index) }
    end

    def reducers
      @reducers ||= (0...@tiles).map do |index|
        rows = [index, (index + 1) % @tiles].uniq
        sources = rows.flat_map { |row| (row * @tiles...(row + 1) * @tiles).map { |map| "map-#{map}" } }
        work("reduce", sources, sources.size, index)
      end
    end

    def work(kind, parents, splits, index = nil)
      records = RECORDS * splits
      LargeGraph.task([kind, index].compact.join("-"), kind, parents,
                      operations: records * RECORD_OPERATIONS * Math.log2(records) / 20,
                      bytes: [records * RECORD_BYTES, records * RECORD_BYTES / 10])
    end
  end

  # Names of the shapes.
  SHAPES = { "cholesky" => Cholesky, "wavefront" => Wavefront, "map_reduce" => MapReduce }.freeze

  # A whole graph in the form of recorded workflows.
  #
  # @param shape [String] a key of {SHAPES}
  # @param tiles [Integer] size along one edge, at least 1
  # @return [Hash]
  # @example
  #   LargeGraph.document("cholesky", tiles: 17)["tasks"].size # => 969
  def document(shape, tiles:)
    graph = SHAPES.fetch(shape).new(tiles: tiles)
    { "name" => graph.name, "source" => "examples/large_graph/generate --shape #{shape} --tiles #{tiles}",
      "licence" => "MIT", "tasks" => graph.tasks }
  end
end
