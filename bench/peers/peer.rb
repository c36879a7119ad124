# frozen_string_literal: true

require "tasker_core"
require_relative "../engine/measurement"
require_relative "../engine/run"
require_relative "job_check"

module Bench
  # Another engine that executes the same graphs, of jobs that do nothing. A subclass defines `self.title`,
  # `self.prepare`, `self.version`, `self.durable?` and the private methods `with_store`, `fleet` and `creator`.
  #
  # It is measured as {Drain} measures our engine: its processes are told what to do as our workers are (see
  # {WorkerProcess}), the jobs that can begin are created while no worker runs, and the speed is that from the begin of
  # the first job to the moment when the last end is known. `handler` and `payload` of the settings have no effect: jobs
  # keep no results.
  #
  # @example
  #   Peers::Sidekiq.new(settings, server).call.measures["steps_per_s"]
  class Peer < Measurement
    # Nanoseconds in a second.
    NANO = 1_000_000_000.0

    # Creates the jobs and executes them.
    #
    # @return [Run::Result]
    # @raise [TaskerCore::Error]
    def call
      with_store do |url|
        fleet.open(settings, url) do |workers|
          created = create(url)
          stopped_at = execute(workers)
          result(created, workers.stop.starts, stopped_at)
        end
      end
    end

    private

    # @return [Hash{String => Numeric}] executions: jobs that were created; seconds: that it took
    def create(url)
      say("making #{settings.tasks} tasks of #{settings.steps} steps")
      process = WorkerProcess.new(creator, fleet.order(settings, url))
      process.wait_until_ready
      process.begin
      process.summary
    ensure
      process&.close
    end

    # @return [Integer] when the last end was known, in nanoseconds of the monotonic clock
    def execute(workers)
      say("executing #{settings.total_steps} steps")
      workers.begin
      workers.wait_for(settings.total_steps)
      Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond)
    end

    def result(created, jobs, stopped_at)
      seconds = (stopped_at - jobs.map { |_task, _step, began, _ended| began }.min) / NANO
      measures = { "steps_per_s" => settings.total_steps / seconds,
                   "create_per_s" => created.fetch("executions") / created.fetch("seconds") }
      Run::Result.new(measures, JobCheck.new(settings, jobs).problems, {})
    end

    def say(text)
      super("#{self.class.title}: #{text}")
    end
  end
end
