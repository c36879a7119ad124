# frozen_string_literal: true

require "io/wait"
require_relative "clock"

module TaskerCore
  module Internal
    # A forked child that does not outlive its parent: it gets TERM when the parent is gone, however that died. It
    # belongs to a process group of its own, so that a Ctrl-C at the terminal reaches the parent only, which passes it
    # on once.
    class ChildProcess
      # Signals that the parent traps and the child must not inherit.
      SIGNALS = %w[TERM INT QUIT CHLD].freeze
      # Added to the number of the signal that ended a child, as shells do.
      SIGNALLED = 128

      # @return [Integer]
      attr_reader :pid
      # @return [Integer, nil] exit status, 128 and more for a signal; nil while it runs
      attr_reader :status

      # A pipe whose writing end only the parent holds; that it closes tells children that the parent is gone.
      #
      # @return [Array<IO>] reading and writing end
      # @example
      #   child = ChildProcess.start(lifeline) { work }
      def self.lifeline
        IO.pipe
      end

      # The parent should trap {SIGNALS} before: a signal that comes between the fork and the block finds the parent's
      # traps in the child, and without any it would be raised in the child as in the parent.
      #
      # @param lifeline [Array<IO>] one for all children
      # @param pulse [Pulse, nil] one for all children: the child beats. Default nil: it does not.
      # @yield in the child
      # @yieldreturn [Integer] its exit status
      # @return [ChildProcess]
      # @example
      #   child = ChildProcess.start(ChildProcess.lifeline) { work }
      def self.start(lifeline, pulse = nil, &body)
        new(fork { exit(run(lifeline, pulse, &body)) })
      end

      # @api private
      def self.run(lifeline, pulse)
        Process.setpgid(0, 0)
        SIGNALS.each { |signal| trap(signal, "DEFAULT") }
        reader, writer = lifeline
        writer.close
        Thread.new { watch(reader, pulse) }.name = "tasker-parent-watch"
        yield
      end
      private_class_method :run

      # @api private
      def self.watch(reader, pulse)
        pulse&.beat until reader.wait_readable(pulse&.interval)
        Process.kill("TERM", Process.pid)
      end
      private_class_method :watch

      # @api private
      # @param pid [Integer]
      def initialize(pid)
        @pid = pid
        @started = Clock.seconds
        @status = nil
      end

      # @param name [String] of the signal
      # @return [void]
      # @example
      #   child.signal("TERM")
      def signal(name)
        Process.kill(name, pid) unless status
      rescue Errno::ESRCH
        nil
      end

      # @return [Boolean] whether it has ended; does not wait
      def ended?
        keep(Process.wait2(pid, Process::WNOHANG)) unless status
        !status.nil?
      end

      # @return [Integer] its status, when it has ended
      def wait
        keep(Process.wait2(pid)) unless status
        status
      end

      # @return [Boolean] whether it ended as a process does that was asked to by a signal: with 0, or by the signal
      def ended_as_asked?
        [0, *%w[TERM QUIT].map { |name| SIGNALLED + Signal.list.fetch(name) }].include?(status)
      end

      # @return [Float] seconds since it was started
      def age
        Clock.seconds - @started
      end

      private

      def keep(waited)
        process = waited&.last
        @status = process.exitstatus || (SIGNALLED + process.termsig) if process
      end
    end
  end
end
