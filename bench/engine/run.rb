# frozen_string_literal: true

require "tasker_core"
require_relative "check"
require_relative "fleet"
require_relative "meter"

module Bench
  # One measurement in a database of its own. Subclasses say what is measured.
  #
  # @example
  #   Drain.new(settings, server).call.measures["steps_per_s"]
  class Run
    # Every measure, for those that a workload does not have.
    MEASURES = %w[
      steps_per_s create_per_s total_s handover_p50_ms handover_p99_ms submit_p50_ms submit_p99_ms commits_per_step
      wal_bytes_per_step engine_cpu_us_per_step postgres_cpu_us_per_step peak_rss_mb queries_per_s
      engine_cpu_ms_per_s postgres_cpu_ms_per_s size_mb size_growth
    ].to_h { |name| [name, nil] }.freeze
    # Most tasks that are submitted with one call.
    TASKS_AT_ONCE = 1_000

    # What was measured, by name; what is wrong with what the run left, in words; and what was measured in each part of
    # the time, where that was.
    Result = Struct.new(:measures, :problems, :intervals) do
      # @return [Boolean]
      def consistent?
        problems.empty?
      end
    end

    # @param settings [Settings]
    # @param server [Server]
    # @param progress [#call] is told what is being done. Default: nobody is.
    def initialize(settings, server, progress: ->(text) {})
      @settings = settings
      @server = server
      @progress = progress
    end

    # @return [Result]
    # @raise [TaskerCore::Error]
    def call
      server.with_database do |url, name|
        @url = url
        @database = name
        measures = MEASURES.merge(measure)
        say("checking")
        Result.new(measures, problems, intervals)
      end
    end

    private

    attr_reader :settings, :server, :url, :database

    # Overridden where parts of the time are measured.
    def intervals
      []
    end

    def say(text)
      @progress.call(text)
    end

    def check
      Check.new(settings, url)
    end

    def connected(&block)
      TaskerCore::Client.open(TaskerCore.configuration.with { |config| config.database_url = url }, &block)
    end

    # Makes all tasks.
    #
    # @return [Float] seconds that it took, without connecting and recording the template
    def create(client)
      say("making #{settings.tasks} tasks of #{settings.steps} steps")
      client.register(settings.workload.template(settings.steps))
      contexts = Array.new(settings.tasks) { |number| { "number" => number } }
      timed do
        contexts.each_slice(TASKS_AT_ONCE) do |some|
          client.submit_all(settings.workload.template_name, contexts: some)
        end
      end
    end

    def timed
      started = TaskerCore::Internal::Clock.seconds
      yield
      TaskerCore::Internal::Clock.seconds - started
    end
  end
end
