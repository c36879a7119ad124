# frozen_string_literal: true

require_relative "../feed"

module TaskerCore
  class Client
    # All changes of state of the database, see {Feed}.
    module Feeds
      # @param consumer [String, nil] see {Feed#initialize}
      # @param options [Hash{Symbol => Object}] from, events: see {Feed#initialize}
      # @return [Feed]
      # @raise [InvalidArgument]
      # @example
      #   client.feed("billing", from: :beginning).each_batch { |events| book(events) }
      def feed(consumer = nil, **options)
        Feed.new(consumer, client: self, **options)
      end

      # Deletes a consumer and its position. One that reads nevertheless is told that it was taken over.
      #
      # @param consumer [String]
      # @return [Boolean] whether there was one
      # @raise [InvalidArgument]
      # @example
      #   client.forget_feed("billing") # => true
      def forget_feed(consumer)
        native.forget_feed(Internal::Check.text(consumer, "consumer"))
      end

      # @api private
      # @param opening [Hash{Symbol => Object}] consumer, from
      # @return [Hash{String => Object}] position, reader, missed; frozen
      def open_feed(opening)
        parse(native.open_feed(JSON.generate(opening)))
      end

      # @api private
      # @param reading [Hash{Symbol => Object}] consumer, reader, place, limit, names, explain
      # @return [Hash{String => Object}] events, place, caught_up, held_back_by, missed; frozen
      def read_feed(reading)
        parse(native.read_feed(JSON.generate(reading)))
      end

      # @api private
      # @param reading [Hash{Symbol => Object}] as for {#read_feed}
      # @return [void]
      def move_feed(reading)
        native.move_feed(JSON.generate(reading))
      end
    end
  end
end
