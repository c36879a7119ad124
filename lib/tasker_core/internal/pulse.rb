# frozen_string_literal: true

require_relative "clock"

module TaskerCore
  module Internal
    # Tells a process which of its children run no Ruby any more: a thread of each child beats, which takes Ruby's lock.
    # Time counts only where the parent looks in time, so that children that stood still together with it, on a machine
    # that was suspended, are not taken for such.
    class Pulse
      # Beats that a child has to miss.
      BEATS = 10
      # A child's process id as it is written: in one piece, so that the beats of children do not mix.
      PID = "L"
      # Most bytes that are read at once: a whole number of beats.
      MOST = 4_096

      # @return [Float] seconds between two beats
      attr_reader :interval

      # @param timeout [Numeric] seconds without a beat after which a child is silent
      def initialize(timeout)
        @interval = timeout / BEATS.to_f
        @reader, @writer = IO.pipe
        @missed = {}
        @due = Clock.seconds + interval
      end

      # Says, in a child, that Ruby runs. Does not wait: where nobody reads, it is not said.
      #
      # @return [void]
      # @example
      #   loop { sleep(pulse.interval) && pulse.beat }
      def beat
        @writer.write_nonblock([Process.pid].pack(PID), exception: false)
      end

      # @return [Float] seconds until the next look
      # @example
      #   wakeup.wait(pulse.left)
      def left
        [@due - Clock.seconds, 0].max
      end

      # Looks, in the parent, for children that do not beat; before it is time to, for none.
      #
      # @param pids [Array<Integer>] all children
      # @return [Array<Integer>] those that are silent
      # @example
      #   pulse.silent(pids).each { |pid| Process.kill("KILL", pid) }
      def silent(pids)
        return [] if left.positive?

        @due = Clock.seconds + interval
        heard = read
        @missed = pids.to_h { |pid| [pid, heard.include?(pid) ? 0 : @missed.fetch(pid, 0) + 1] }
        pids.select { |pid| @missed[pid] > BEATS }
      end

      # @return [void]
      def close
        @reader.close
        @writer.close
      end

      private

      def read
        heard = []
        while (beats = @reader.read_nonblock(MOST, exception: false)).is_a?(String)
          heard.concat(beats.unpack("#{PID}*"))
        end
        heard
      end
    end
  end
end
