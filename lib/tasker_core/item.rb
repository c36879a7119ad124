# frozen_string_literal: true

require "json"

module TaskerCore
  # An item of a map step, and how far the step is that is executed for it. Frozen.
  #
  # @!attribute [r] index
  #   @return [Integer] from 0
  # @!attribute [r] state
  #   @return [String] of the step that is executed for it
  # @!attribute [r] attempts
  #   @return [Integer] number of attempts so far
  # @!attribute [r] item
  #   @return [Object, nil] frozen
  # @!attribute [r] results
  #   @return [Object, nil] frozen; nil while the step is not complete
  # @example
  #   TaskerCore.each_item(42, "resize").count { |item| item.state == "error" }
  Item = Struct.new(:index, :state, :attempts, :item, :results) do
    # A part of a list.
    #
    # @api private
    # @param json [String]
    # @return [Array<Item>] frozen
    def self.parse(json)
      keys = members.map(&:to_s)
      JSON.parse(json, freeze: true, max_nesting: false).map { |item| new(*item.values_at(*keys)).freeze }.freeze
    end

    # All items, read in parts.
    #
    # @api private
    # @yieldparam after [Integer, nil] number of the last item that was read
    # @yieldreturn [Array<Item>] those after it
    # @return [Enumerator]
    def self.in_parts
      Enumerator.new do |all|
        after = nil
        until (items = yield(after)).empty?
          items.each { |item| all << item }
          after = items.last.index
        end
      end
    end
  end
end
