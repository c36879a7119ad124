# frozen_string_literal: true

# Runs the engine under faults, and checks what it did.
module Chaos
  # Steps whose handlers make checkpoints. What they know of them is in the ledger while they run: where the attempt
  # went on `from`, the last checkpoint that was `tried`, and the last one that was `kept`.
  Batch = Struct.new(:last) do
    # @param step [TaskerCore::Step]
    # @yieldparam product [Hash{String => Object}] to be written to the ledger
    # @return [Hash{String => Object}]
    def perform(step)
      from = step.cursor || 0
      product = { "from" => from, "tried" => from, "kept" => from }
      ((from + 1)..last).each do |number|
        yield product.merge!("tried" => number)
        sleep(Batch::SECONDS)
        step.checkpoint(cursor: number)
        yield product.merge!("kept" => number)
      end
      product
    end
  end

  # Names of such steps, checkpoints of each, and the seconds before each.
  Batch::STEPS = /\Abatch/
  Batch::SIZE = 12
  Batch::SECONDS = 0.08
  # Names of the parents by name of the step, parents first.
  Batch::GRAPH = { "batch0" => [], "batch1" => ["batch0"], "total" => ["batch1"] }.freeze

  # @param step [String] name of the step
  # @return [Batch, nil] nil: it makes no checkpoints
  # @example
  #   Batch.of("total") # => nil
  def Batch.of(step)
    new(self::SIZE) if step.match?(self::STEPS)
  end
end
