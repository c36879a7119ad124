# frozen_string_literal: true

require "tasker_core/cli"
require "tasker_core/internal/child_process"

module Examples
  # The worker ended before it was told to.
  class WorkerEnded < TaskerCore::InternalError; end

  # A `tasker work` that runs beside this program, and is gone when this program says so or is gone itself.
  #
  # @example
  #   worker = Examples::WorkerProcess.new(["-r", "handlers.rb"], database_url: url, log: "worker.log")
  #   worker.start
  #   worker.stop
  class WorkerProcess
    ChildProcess = TaskerCore::Internal::ChildProcess
    # Seconds that a worker may take to stop before it is killed: its own limit for running steps and some more.
    STOP_SECONDS = 40.0
    # Last lines of the log that are shown when it ends by itself.
    LINES = 10

    # @param arguments [Array<String>] words after `tasker work`
    # @param database_url [String]
    # @param log [String] file that takes what it prints; emptied first
    def initialize(arguments, database_url:, log:)
      @words = ["work", *arguments, "--database-url", database_url]
      @log = log
    end

    # Starts it, out of reach of a Ctrl-C, which is for this program.
    #
    # @return [void]
    def start
      File.write(@log, "")
      @lifeline = ChildProcess.lifeline
      @child = ChildProcess.start(@lifeline) do
        [$stdout, $stderr].each { |stream| stream.reopen(@log, "a") }
        $stdout.sync = true
        TaskerCore::CLI.start(@words)
      end
    end

    # @return [Integer] process id
    def pid
      @child.pid
    end

    # Does nothing while it runs.
    #
    # @return [void]
    # @raise [WorkerEnded] with what it printed last
    def check
      return unless @child.ended?

      raise WorkerEnded, "the worker ended by itself; it said last:\n#{File.readlines(@log).last(LINES).join}"
    end

    # Stops it: lets running steps finish, kills it when that takes too long. Does nothing when it does not run.
    #
    # @return [void]
    def stop
      return unless @child

      @child.signal("TERM")
      await(TaskerCore::Internal::Clock.seconds + STOP_SECONDS)
      @child.signal("KILL")
      @child.wait
      @lifeline.each(&:close)
    end

    private

    def await(deadline)
      sleep(0.02) until @child.ended? || TaskerCore::Internal::Clock.seconds > deadline
    end
  end
end
