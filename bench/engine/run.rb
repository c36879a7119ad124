# frozen_string_literal: true

require "pg"
require "tasker_core"
require_relative "check"
require_relative "fleet"
require_relative "measurement"
require_relative "meter"

module Bench
  # One measurement of our engine in a database of its own. Subclasses say what is measured.
  #
  # @example
  #   Drain.new(settings, server).call.measures["steps_per_s"]
  class Run < Measurement
    # Every measure, for those that a workload does not have.
    MEASURES = %w[
      steps_per_s create_per_s total_s handover_p50_ms handover_p99_ms submit_p50_ms submit_p99_ms commits_per_step
      wal_bytes_per_step engine_cpu_us_per_step postgres_cpu_us_per_step peak_rss_mb queries_per_s
      engine_cpu_ms_per_s postgres_cpu_ms_per_s size_mb size_growth rss_growth recovery_s
      pruned_rows_per_s events events_per_s submit_s size_ratio
    ].to_h { |name| [name, nil] }.freeze
    # Most tasks that are submitted with one call.
    TASKS_AT_ONCE = 1_000

    # Bytes of all tables, with their indexes and what is stored out of line.
    SIZE = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relname LIKE 'tasker\\_%' AND relkind = 'r'"
    # Bytes in a megabyte.
    MEGA = 1_000_000.0

    # What was measured, by name; what is wrong with what the run left, in words; and what was measured in each part of
    # the time, by what the parts are called, where that was.
    Result = Struct.new(:measures, :problems, :parts) do
      # @return [Boolean]
      def consistent?
        problems.empty?
      end
    end

    # @return [Result]
    # @raise [TaskerCore::Error]
    def call
      server.with_database do |url, name|
        @url = url
        @database = name
        measures = MEASURES.merge(measure)
        say("checking")
        Result.new(measures, problems, parts)
      end
    end

    private

    attr_reader :url, :database

    # Overridden where parts of the time are measured.
    #
    # @return [Hash{String => Array<Hash{String => Object}>}] what they are called => what was measured in each
    def parts
      {}
    end

    def check
      Check.new(settings, url)
    end

    def connected(&block)
      TaskerCore::Client.open(TaskerCore.configuration.with { |config| config.database_url = url }, &block)
    end

    def ask(statement)
      connection = PG.connect(url)
      connection.exec(statement)
    ensure
      connection&.close
    end

    def size_mb
      (ask(SIZE).getvalue(0, 0).to_i / MEGA).round(2)
    end

    # Makes all tasks.
    #
    # @param what [Settings] Default: what the run is to do.
    # @param queue [String, nil] of the steps; nil: the default one
    # @return [Float] seconds that it took, without connecting and recording the template
    def create(client, what = settings, queue: nil)
      say("making #{what.tasks} tasks of #{what.steps} steps")
      client.register(what.workload.template(what.steps, queue: queue))
      contexts = Array.new(what.tasks) { |number| { "number" => number } }
      timed do
        contexts.each_slice(TASKS_AT_ONCE) do |some|
          client.submit_all(what.workload.template_name(queue), contexts: some)
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
