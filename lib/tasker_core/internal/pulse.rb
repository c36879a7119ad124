# frozen_string_literal: true

require "forwardable"
require_relative "interval"

module TaskerCore
  module Internal
    # Tells a process which of its children run no Ruby any more: a thread of each child beats, which takes Ruby's lock.
    # Time counts only where the parent looks in time, so that children that stood still together with it, on a machine
    # that was suspended, are not taken for such.
    class Pulse
      extend Forwardable

      # Beats that a child has to miss.
      BEATS = 10
      # A child's process id as it is written: in one piece, so that the beats of children do not mix.
      PID = "L"
      # Most bytes that are read at once: a whole number of beats.
      MOST = 4_096

      # What a child beats with: where, and how many seconds lie between two beats.
      Beats = Struct.new(:writer, :interval) do
        # Says, in a child, that Ruby runs. Does not wait: where nobody reads, it is not said.
        #
        # @return [void]
        # @example
        #   loop { sleep(beats.interval) && beats.beat }
        def beat
          writer.write_nonblock([Process.pid].pack(PID), exception: false)
        end
      end

      # @!method writer
      #   @return [IO] see {Beats}
      # @!method interval
      #   @return [Float] see {Beats}
      # @!method beat
      #   @return [void] see {Beats#beat}
      def_delegators :@beats, :writer, :interval, :beat

      # @param timeout [Numeric] seconds without a beat after which a child is silent
      def initialize(timeout)
        @timeout = timeout
        @reader, writer = IO.pipe
        @beats = Beats.new(writer, timeout / BEATS.to_f)
        @missed = {}
        @looks = Interval.new(interval)
      end

      # @return [Float] seconds until the next look
      # @example
      #   wakeup.wait(pulse.left)
      def left
        @looks.left
      end

      # Looks, in the parent, for children that do not beat; before it is time to, for none.
      #
      # @param pids [Array<Integer>] all children
      # @return [Array<Integer>] those that are silent
      # @example
      #   pulse.silent(pids).each { |pid| Process.kill("KILL", pid) }
      def silent(pids)
        return [] unless @looks.due?

        heard = read
        @missed = pids.to_h { |pid| [pid, heard.include?(pid) ? 0 : @missed.fetch(pid, 0) + 1] }
        pids.select { |pid| @missed[pid] > BEATS }
      end

      # Kills those of the children that are silent: they hear no other signal.
      #
      # @param children [Array<ChildProcess>]
      # @param logger [Logger]
      # @return [void]
      # @example
      #   pulse.kill_silent(children, logger)
      def kill_silent(children, logger)
        pids = silent(children.map(&:pid))
        children.select { |child| pids.include?(child.pid) }.each do |child|
          logger.error do
            "worker process #{child.pid} has run no Ruby for #{@timeout} s, because a native function keeps " \
              "Ruby's lock: it is killed, and what it held is executed by others"
          end
          child.signal("KILL")
        end
      end

      # @return [void]
      def close
        @reader.close
        writer.close
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
