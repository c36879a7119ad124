# frozen_string_literal: true

require "io/wait"
require "json"
require "rbconfig"
require_relative "process_clock"
require_relative "rust_program"
require_relative "worker_process"

module Bench
  # The worker processes of one run.
  class Fleet
    # Seconds without a step that was completed after which the run has failed.
    STALLED = 60
    # Milliseconds between two looks of a worker at how many attempts are recorded; a worker that is to be idle looks
    # so rarely that its looking costs nothing.
    TICK_MS = 5
    IDLE_TICK_MS = 60_000
    # Where the gem is.
    LIBRARY = File.expand_path("../../lib", __dir__)

    # Of which workers count the executions only: they last, or do the same in many rounds.
    COUNTED = %i[soak flat].freeze

    # What all of them did: executions, the steps of these where they are noted, the starts of handlers as
    # {Executions.starts}, whether all was recorded; and for each that has a subscriber what that was told, as
    # {EventCount#report} with the number of events dropped.
    Summary = Struct.new(:executions, :steps, :starts, :in_order, :events, keyword_init: true)

    # Starts them and waits until they have loaded everything; none is left after the block.
    #
    # @param settings [Settings]
    # @param url [String] of the database
    # @yieldparam fleet [Fleet]
    # @return [Object] what the block returned
    # @raise [WorkerFailed]
    # @example
    #   Fleet.open(settings, url) { |fleet| fleet.begin; fleet.wait_for(1000); fleet.stop }
    def self.open(settings, url)
      fleet = new(settings, url)
      fleet.start
      yield fleet
    ensure
      fleet&.close
    end

    # @param settings [Settings]
    # @param url [String]
    def initialize(settings, url)
      @settings = settings
      @url = url
      @workers = []
    end

    # Starts them and waits until they have loaded everything.
    #
    # @return [void]
    # @raise [WorkerFailed]
    def start
      words = program
      @settings.processes.times { @workers << WorkerProcess.new(words, order) }
      @workers.each(&:wait_until_ready)
    end

    # Lets them connect and claim. Returns when all of them are connected.
    #
    # @return [void]
    # @raise [WorkerFailed]
    def begin
      @workers.each(&:begin)
      @workers.each(&:wait_until_begun)
    end

    # Waits until they have recorded so many attempts in all, without asking the database.
    #
    # @param count [Integer]
    # @param stalled [Numeric] seconds without progress after which this fails. Default: {STALLED}.
    # @return [void]
    # @raise [WorkerFailed] says what is missing
    def wait_for(count, stalled: STALLED)
      hear(stalled) || raise(WorkerFailed, missing(count, stalled)) while completed < count
    end

    # @return [Integer] attempts that are recorded, by what the workers have told up to now
    # @raise [WorkerFailed]
    def completed_by_now
      nil while hear(0)
      completed
    end

    # @return [Integer] attempts that are recorded, by what was heard last
    def completed
      @workers.sum(&:completed)
    end

    # @return [Array<Integer>] process ids
    def pids
      @workers.map(&:pid)
    end

    # @return [Float, nil] CPU seconds of all of them since their start; nil where the system does not say
    def cpu_seconds
      seconds = pids.map { |pid| ProcessClock.seconds(pid) }
      seconds.sum if seconds.all?
    end

    # @return [Float, nil] most memory that one of them had, in megabytes; nil where the system does not say
    def peak_rss_mb
      pids.filter_map { |pid| ProcessClock.peak_rss_mb(pid) }.max
    end

    # @return [Float, nil] most memory that one of them has, in megabytes; nil where the system does not say
    def rss_mb
      pids.filter_map { |pid| ProcessClock.rss_mb(pid) }.max
    end

    # Ends their work.
    #
    # @return [Summary]
    # @raise [WorkerFailed]
    def stop
      @workers.each(&:stop)
      reports = @workers.map(&:summary)
      all = ->(name) { reports.filter_map { |report| report[name] } }
      Summary.new(executions: all["executions"].sum, steps: all["steps"].flatten, starts: all["starts"].flatten(1),
                  in_order: all["in_order"].size == reports.size, events: all["events"])
    end

    # Ends those that still run.
    #
    # @return [void]
    def close
      @workers.each(&:close)
    end

    private

    # Whether workers have told something within so many seconds, which is taken in.
    def hear(seconds)
      outputs = @workers.to_h { |worker| [worker.output, worker] }
      ready, = IO.select(outputs.keys, nil, nil, seconds)
      ready&.each { |output| outputs.fetch(output).listen }
    end

    def program
      return [RustProgram.path] if @settings.handler == "rust"

      [RbConfig.ruby, *("-w" if $VERBOSE), "-I", LIBRARY, File.join(__dir__, "ruby_worker.rb")]
    end

    def order
      { "url" => @url, "concurrency" => @settings.concurrency, "results" => JSON.generate(@settings.results),
        "work_us" => @settings.work, "noted" => !COUNTED.include?(measured), "timed" => measured == :latency,
        "tick_ms" => measured == :idle ? IDLE_TICK_MS : TICK_MS,
        "retention_s" => (Soak::RETENTION if measured == :soak),
        "queues" => ([Rounds::QUEUE] if measured == :flat), **(@settings.subscribe ? { "subscribe" => true } : {}) }
    end

    def measured
      @settings.workload.measured
    end

    def missing(count, stalled)
      "#{count - completed} of #{count} steps are not complete, and none was completed for #{stalled} s"
    end
  end
end
