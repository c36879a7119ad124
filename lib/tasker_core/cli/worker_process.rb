# frozen_string_literal: true

require_relative "../internal/traps"
require_relative "command"
require_relative "format"

module TaskerCore
  class CLI
    # The worker of a process of `tasker work`: it hears signals, and says what it does.
    class WorkerProcess
      # @param settings [Hash{Symbol => Object}] of the {Worker}
      # @param output [Output]
      # @param manager [Internal::ServiceManager, nil] is told that it stops. Default nil: a supervisor is there, which
      #   does that.
      def initialize(settings, output, manager: nil)
        @settings = settings
        @output = output
        @manager = manager
        @asked = false
        @sayings = []
      end

      # Works until it is told to stop.
      #
      # @yield [] once it works
      # @return [Integer] exit status
      # @raise [Error] as {Worker#start} and {Worker#wait}
      # @example
      #   WorkerProcess.new(settings, output).work { ready.call }
      def work
        worker = Worker.new(**@settings)
        stoppable(worker) do
          worker.start
          @output.line("worker #{worker.id} (pid #{Process.pid}) is ready: #{capacity}; stop it with Ctrl-C")
          yield
          tell(worker.wait)
        end
      end

      # @return [String] what it can do, for people
      def capacity
        "#{Format.many(@settings[:concurrency], "thread")}, queues: #{@settings[:queues]&.join(", ") || "all"}"
      end

      private

      # The worker hears signals while the block runs, and is gone after it.
      def stoppable(worker)
        answers = { "INT" => :ask, "TERM" => :ask, "QUIT" => :stop_at_once, "USR1" => :refer }
        Internal::Traps.during(answers.transform_values { |answer| proc { send(answer, worker) } }) do
          yield
        ensure
          worker.stop!
          worker.wait if worker.running?
        end
      end

      # What a trap says. The thread that it interrupts may be writing, and would wait for itself.
      def say(&saying)
        @sayings << Thread.new(&saying)
      end

      def ask(worker)
        return stop_at_once(worker) if @asked

        @asked = true
        worker.stop
        @manager&.stopping
        say do
          @output.line("stopping: what runs may finish within #{Format.duration(@settings[:shutdown_timeout])}; " \
                       "once more stops it at once")
        end
      end

      def stop_at_once(worker)
        worker.stop!
        @manager&.stopping
      end

      # A worker process cannot replace itself.
      def refer(_worker)
        supervisor = @manager ? "which -p starts" : "pid #{Process.ppid}"
        say { @output.note("tasker: USR1 is for the supervisor, #{supervisor}: it replaces worker processes") }
      end

      def tell(summary)
        @sayings.each(&:join)
        @output.line("worker stopped: #{Format.many(summary.finished, "attempt")} finished, " \
                     "#{Format.count(summary.given_back)} given back, " \
                     "#{Format.count(summary.interrupted)} interrupted")
        return Command::OK if summary.in_order

        @output.note("tasker: not all of it could be recorded; other workers take the rest over")
        Command::FAILED
      end
    end
  end
end
