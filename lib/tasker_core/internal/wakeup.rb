# frozen_string_literal: true

module TaskerCore
  module Internal
    # Wakes one thread that waits with a limit. Unlike a condition variable it may be rung from a signal trap.
    class Wakeup
      def initialize
        @reader, @writer = IO.pipe
      end

      # Ends the wait that is going on, or the next one. May be called from a signal trap, and after {#close}.
      #
      # @return [void]
      # @example
      #   trap("TERM") { wakeup.ring }
      def ring
        @writer.write_nonblock(".", exception: false)
      rescue IOError, Errno::EPIPE
        nil
      end

      # @param seconds [Numeric, nil] nil: without a limit
      # @param others [Array<IO>] end the wait as well as soon as one can be read. Default: none.
      # @return [void]
      # @example
      #   wakeup.wait(1.5)
      def wait(seconds = nil, others = [])
        return unless IO.select([@reader, *others], nil, nil, seconds)

        @reader.read_nonblock(512, exception: false)
      end

      # @return [void]
      def close
        @reader.close
        @writer.close
      end
    end
  end
end
