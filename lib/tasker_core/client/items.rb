# frozen_string_literal: true

require_relative "../item"

module TaskerCore
  class Client
    # The items of map steps.
    module Items
      # Numbers that an item can have.
      NUMBERS = (0..(2**20)).freeze
      # Items of a part.
      PARTS = (1..10_000).freeze
      private_constant :NUMBERS, :PARTS

      # A part of the items of a map step, in their order.
      #
      # @param task_id [Integer]
      # @param step [String, Symbol] a map step
      # @param after [Integer, nil] number of an item: only later ones. Default nil: from the first on.
      # @param limit [Integer] at most so many, 1 to 10,000. Default 1,000. A part ends sooner, with the item with
      #   which it has come to 16 MiB.
      # @return [Array<Item>] frozen; [] at the end, and before the step has begun
      # @raise [NotFound]
      # @raise [InvalidArgument] no map step
      # @raise [DecryptionError]
      # @example
      #   client.items(1, "resize", after: 999, limit: 500).map(&:results)
      def items(task_id, step, after: nil, limit: 1_000)
        id = Internal::Check.id(task_id)
        step = Internal::Check.text(step, "step")
        after &&= Internal::Check.whole(after, "after", NUMBERS)
        limit = Internal::Check.whole(limit, "limit", PARTS)
        Item.parse(native.items(id, step, after, limit))
      end

      # All items of a map step, read in parts: no more than one part is in memory.
      #
      # @param task_id [Integer]
      # @param step [String, Symbol] a map step
      # @param batch [Integer] items of a part, 1 to 10,000. Default 1,000.
      # @yieldparam item [Item]
      # @return [Enumerator] without a block
      # @raise [Error] as {#items}
      # @example
      #   client.each_item(1, "resize").select { |item| item.state == "error" }.map(&:index)
      def each_item(task_id, step, batch: 1_000, &block)
        items = Item.in_parts { |after| items(task_id, step, after: after, limit: batch) }
        block ? items.each(&block) : items
      end
    end
  end
end
