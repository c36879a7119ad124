# frozen_string_literal: true

require "json"
require "tasker_core"

module Bench
  # A worker process ended, or did not do, what it was there for.
  class WorkerFailed < TaskerCore::InternalError; end

  # A worker in a process of its own, that is told what to do through pipes. It ends when this process does, and a
  # Ctrl-C reaches this process only.
  class WorkerProcess
    # Seconds that it may take to start, or to stop.
    PATIENCE = 60

    # @return [Integer]
    attr_reader :pid
    # @return [IO] becomes readable when it tells something
    attr_reader :output
    # @return [Integer] attempts that it has recorded
    attr_reader :completed

    # @param words [Array<String>] program and arguments
    # @param order [Hash{String => Object}] what to do
    def initialize(words, order)
      their_input, @input = IO.pipe
      @output, their_output = IO.pipe
      @pid = Process.spawn(*words, in: their_input, out: their_output, pgroup: true)
      [their_input, their_output].each(&:close)
      @completed = 0
      tell(JSON.generate(order))
    end

    # Waits until it has loaded everything.
    #
    # @return [void]
    # @raise [WorkerFailed]
    def wait_until_ready
      listen until @ready
    end

    # Lets it connect and claim.
    #
    # @return [void]
    # @raise [WorkerFailed]
    def begin
      tell("begin")
    end

    # Waits until it is connected.
    #
    # @return [void]
    # @raise [WorkerFailed]
    def wait_until_begun
      listen until @begun
    end

    # Reads one message. Waits for it.
    #
    # @param seconds [Numeric] longest wait
    # @return [Hash{String => Object}]
    # @raise [WorkerFailed] it has ended, or is silent
    def listen(seconds = PATIENCE)
      raise WorkerFailed, "worker process #{pid} said nothing for #{seconds} s" unless output.wait_readable(seconds)

      line = output.gets or raise WorkerFailed, "worker process #{pid} ended by itself: #{status}; see above for why"
      message = JSON.parse(line)
      @ready ||= message["ready"]
      @begun ||= message["begun"]
      @completed = message.fetch("completed", @completed)
      message
    end

    # Asks it to end its work. Returns at once.
    #
    # @return [void]
    def stop
      @input.close
    end

    # Waits until it has ended its work.
    #
    # @return [Hash{String => Object}] executions, steps, starts, in_order
    # @raise [WorkerFailed]
    def summary
      message = listen until message&.key?("executions")
      status.success? or raise WorkerFailed, "worker process #{pid} ended: #{status}"
      message
    end

    # Ends it at once, if it still runs.
    #
    # @return [void]
    def close
      Process.kill("KILL", pid) unless @status
      status
      [@input, output].each(&:close)
    end

    private

    def tell(line)
      @input.puts(line)
    rescue Errno::EPIPE
      raise WorkerFailed, "worker process #{pid} ended by itself: #{status}; see above for why"
    end

    def status
      @status ||= Process.wait2(pid).last
    end
  end
end
