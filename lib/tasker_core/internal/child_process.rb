# frozen_string_literal: true

require "io/wait"
require_relative "clock"
require_relative "pulse"

module TaskerCore
  module Internal
    # A child that does not outlive its parent: it gets TERM when the parent is gone, however that died. It belongs to a
    # process group of its own, so that a Ctrl-C at the terminal reaches the parent only, which passes it on once.
    class ChildProcess
      # Signals that the parent traps and the child must not inherit.
      SIGNALS = %w[TERM INT QUIT CHLD].freeze
      # Tells a program that it is started as a child: where it sees that its parent is gone, where it says that it is
      # ready, and where and how often it beats, if it does.
      VARIABLE = "TASKER_CHILD_PROCESS"
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
      # @yield [ready] in the child, which calls ready as soon as it does what it is there for
      # @yieldreturn [Integer] its exit status
      # @return [ChildProcess]
      # @example
      #   child = ChildProcess.start(ChildProcess.lifeline) { work }
      def self.start(lifeline, pulse = nil)
        news, told = IO.pipe
        new(fork { exit(run(lifeline, pulse) { yield -> { told.syswrite(".") } }) }, news)
      ensure
        told&.close
      end

      # A child that is a program of its own. What it does as a child stands in the block of {.in_program}.
      #
      # @param lifeline [Array<IO>] one for all children
      # @param program [Program]
      # @param pulse [Pulse, nil] one for all children: the child beats. Default nil: it does not.
      # @return [ChildProcess]
      # @raise [SystemCallError] the program cannot be started
      # @example
      #   child = ChildProcess.start_program(ChildProcess.lifeline, Program.new)
      def self.start_program(lifeline, program, pulse = nil)
        news, told = IO.pipe
        ends = [lifeline.first, told, pulse&.writer].compact
        words = [*ends.map(&:fileno), pulse&.interval].compact.join(",")
        new(program.start({ VARIABLE => words }, pgroup: true, **ends.to_h { |io| [io, io] }), news)
      ensure
        told&.close
      end

      # In a program that {.start_program} has started.
      #
      # @yield [ready] as of {.start}
      # @return [Object, nil] what the block returns; nil in other programs: the block is not called
      # @example
      #   ChildProcess.in_program { |ready| work(ready) }
      def self.in_program
        words = ENV.delete(VARIABLE)&.split(",") or return
        ends = words.first(3).map { |number| IO.for_fd(number.to_i) }
        ends.each { |io| io.close_on_exec = true }
        reader, told, beats = ends
        watch(reader, beats && Pulse::Beats.new(beats, words.last.to_f))
        yield -> { told.syswrite(".") }
      end

      # @api private
      def self.run(lifeline, pulse)
        Process.setpgid(0, 0)
        SIGNALS.each { |signal| trap(signal, "DEFAULT") }
        reader, writer = lifeline
        writer.close
        watch(reader, pulse)
        yield
      end
      private_class_method :run

      # @api private
      def self.watch(reader, pulse)
        Thread.new do
          pulse&.beat until reader.wait_readable(pulse&.interval)
          Process.kill("TERM", Process.pid)
        end.name = "tasker-parent-watch"
      end
      private_class_method :watch

      # @api private
      # @param pid [Integer]
      # @param news [IO] from which a character can be read as soon as it is ready
      def initialize(pid, news)
        @pid = pid
        @news = news
        @ready = false
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

      # @return [Boolean] whether it has said that it is ready, and has not ended
      # @example
      #   child.ready? # => true
      def ready?
        listen
        @ready && !ended?
      end

      # @return [IO, nil] can be read as soon as it is ready; nil afterwards
      def news
        @news unless @news.closed?
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

      # Whether it ended as a process does that was asked to by a signal: with 0, or by the signal. One that has not
      # said that it is ready had nothing to end, whatever its status: Ruby 3.3 has 1 where a signal comes before the
      # first line of a program.
      #
      # @return [Boolean]
      def ended_as_asked?
        return true if [0, *%w[TERM QUIT].map { |name| SIGNALLED + Signal.list.fetch(name) }].include?(status)

        !@ready && status < SIGNALLED
      end

      # @return [Float] seconds since it was started
      def age
        Clock.seconds - @started
      end

      private

      def listen
        said = news&.read_nonblock(1, exception: false)
        return if @news.closed? || said == :wait_readable

        @ready = said == "."
        @news.close
      end

      def keep(waited)
        process = waited&.last or return
        listen
        @status = process.exitstatus || (SIGNALLED + process.termsig)
        @news.close
      end
    end
  end
end
