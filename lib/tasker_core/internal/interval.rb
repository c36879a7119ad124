# frozen_string_literal: true

require_relative "clock"

module TaskerCore
  module Internal
    # Something that is due again and again, in a loop that waits for other things as well.
    class Interval
      # @param seconds [Numeric, nil] from one time to the next; nil: never due
      def initialize(seconds)
        @seconds = seconds
        @due = seconds && (Clock.seconds + seconds)
      end

      # Whether it is due; once each time.
      #
      # @return [Boolean]
      # @example
      #   look if interval.due?
      def due?
        return false unless @due && Clock.seconds >= @due

        @due = Clock.seconds + @seconds
        true
      end

      # @return [Float, nil] seconds until it is due, 0 and more; nil: never
      # @example
      #   wakeup.wait(interval.left)
      def left
        @due && [@due - Clock.seconds, 0.0].max
      end
    end
  end
end
