# frozen_string_literal: true

require "socket"

module TaskerCore
  module Internal
    # Who has started this process as a service, systemd as a rule. Where it says by its variables that it wants to
    # know, it is told that the process is ready, that it ends, what it does, and that it lives: sd_notify(3),
    # sd_watchdog_enabled(3). May be used in signal traps.
    class ServiceManager
      # Where it listens: a path, or "@" and a name of Linux's own.
      SOCKET = "NOTIFY_SOCKET"
      # Microseconds within which it wants to hear again that the process lives, and of which process.
      WATCHDOG = "WATCHDOG_USEC"
      WATCHED = "WATCHDOG_PID"
      # It is told so many times within that time, as sd_watchdog_enabled(3) has it.
      BEATS = 2

      # Seconds between two calls of {#alive}; nil: it does not ask for them.
      #
      # @return [Float, nil]
      attr_reader :beat_seconds

      # @param env [Hash{String => String}] variables of the environment. Default: ENV.
      # @param logger [Logger] is told once when it cannot be reached
      def initialize(logger:, env: ENV)
        @logger = logger
        @path = env[SOCKET]
        @beat_seconds = beats_of(env)
        @said = nil
        @ready = @complained = false
      end

      # That it is ready is told once; afterwards this is {#status}.
      #
      # @param text [String] one line for people
      # @return [void]
      # @example
      #   manager.ready("5 threads, queues: all")
      def ready(text)
        return status(text) if @ready

        @ready = true
        tell("READY=1", "STATUS=#{@said = text}")
      end

      # @param text [String] one line for people; nothing is sent where it is that of before
      # @return [void]
      # @example
      #   manager.status("3 of 4 processes are ready")
      def status(text)
        tell("STATUS=#{@said = text}") unless text == @said
      end

      # @return [void]
      # @example
      #   manager.stopping
      def stopping
        tell("STOPPING=1", "STATUS=#{@said = "stopping"}")
      end

      # @return [void]
      # @example
      #   manager.alive
      def alive
        tell("WATCHDOG=1")
      end

      # Calls {#alive} in time while the block runs, from a thread: not while a handler keeps Ruby's lock.
      #
      # @yield []
      # @return [Object] what the block returns
      # @example
      #   manager.while_alive { worker.wait }
      def while_alive
        thread = beat_seconds && Thread.new { beat }
        thread&.name = "tasker-watchdog"
        yield
      ensure
        thread&.kill&.join
      end

      private

      def beats_of(env)
        microseconds = env[WATCHDOG].to_s
        return unless @path && microseconds.match?(/\A[1-9][0-9]*\z/)
        return unless [nil, Process.pid.to_s].include?(env[WATCHED])

        microseconds.to_i / 1_000_000.0 / BEATS
      end

      def beat
        loop do
          sleep(beat_seconds)
          alive
        end
      end

      def tell(*lines)
        return unless @path

        socket = Socket.new(:UNIX, :DGRAM)
        socket.sendmsg_nonblock(lines.join("\n"), 0, Socket.sockaddr_un(@path.sub(/\A@/, "\0")))
      rescue SystemCallError, ArgumentError => e
        complain(e)
      ensure
        socket&.close
      end

      # From a thread of its own: a logger cannot be used in a signal trap.
      def complain(error)
        return if @complained

        @complained = true
        message = "#{SOCKET} is #{@path.inspect}, where nobody can be told anything: #{error.message}"
        Thread.new { @logger.warn { message } }
      end
    end
  end
end
