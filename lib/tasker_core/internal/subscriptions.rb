# frozen_string_literal: true

require_relative "../event"

module TaskerCore
  module Internal
    # Who wants to be told of which events in this process, and the announcers of its workers.
    class Subscriptions
      # No subscription to any event.
      NOBODY = Array.new(Event::NAMES.size) { [].freeze }.freeze

      # @return [Array<Array<Subscription>>] by number of the event; frozen, another array after each change
      attr_reader :by_number

      def initialize
        @lock = Mutex.new
        @all = []
        @announcers = []
        @by_number = NOBODY
      end

      # @param subscription [Subscription]
      # @return [Subscription]
      # @example
      #   subscriptions.add(Subscription.new(["task.*"]) { |event| puts event.name })
      def add(subscription)
        change { @all += [subscription] }
        subscription
      end

      # @param subscription [Subscription]
      # @return [Boolean] whether there was one
      def remove(subscription)
        known = @all.include?(subscription)
        change { @all -= [subscription] }
        known
      end

      # Tells an announcer of every change from now on, and at once how it stands.
      #
      # @param announcer [Announcer]
      # @return [void]
      def attach(announcer)
        @lock.synchronize { @announcers += [announcer] }
        announcer.update
      end

      # @param announcer [Announcer]
      # @return [void]
      def detach(announcer)
        @lock.synchronize { @announcers -= [announcer] }
      end

      # @return [Integer] bit n: somebody wants the n-th event
      # @example
      #   subscriptions.wanted # => 0
      def wanted
        @by_number.each_with_index.sum { |all, number| all.empty? ? 0 : 1 << number }
      end

      private

      def change
        announcers = @lock.synchronize do
          yield
          @by_number = NOBODY.each_index.map { |number| interested_in(number) }.freeze
          @announcers
        end
        announcers.each(&:update)
      end

      def interested_in(number)
        @all.select { |subscription| subscription.numbers.include?(number) }.freeze
      end
    end
  end
end
