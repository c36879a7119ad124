# frozen_string_literal: true

require "tasker_core"
require_relative "fleet"
require_relative "in_database"
require_relative "measurement"
require_relative "meter"

module Bench
  # One measurement of our engine in a database of its own. Subclasses say what is measured.
  #
  # @example
  #   Drain.new(settings, server).call.measures["steps_per_s"]
  class Run < Measurement
    include InDatabase

    # Every measure, for those that a workload does not have.
    MEASURES = %w[
      steps_per_s create_per_s total_s handover_p50_ms handover_p99_ms submit_p50_ms submit_p99_ms commits_per_step
      wal_bytes_per_step engine_cpu_us_per_step postgres_cpu_us_per_step peak_rss_mb queries_per_s
      engine_cpu_ms_per_s postgres_cpu_ms_per_s size_mb size_growth rss_growth recovery_s
      pruned_rows_per_s events events_per_s submit_s size_ratio
      first_item_s items_per_s deadlocks
    ].to_h { |name| [name, nil] }.freeze

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
      before = server.deadlocks
      result = measure_and_check
      deadlocks = server.deadlocks - before
      result.measures["deadlocks"] = deadlocks
      result.problems << "Postgres ended transactions because of deadlocks: #{deadlocks}" if deadlocks.positive?
      result
    end

    private

    attr_reader :url, :database

    # Overridden where that takes several databases.
    #
    # @return [Result]
    def measure_and_check
      server.with_database do |url, name|
        @url = url
        @database = name
        measures = MEASURES.merge(measure)
        say("checking")
        Result.new(measures, problems, parts)
      end
    end

    # Overridden where parts of the time are measured.
    #
    # @return [Hash{String => Array<Hash{String => Object}>}] what they are called => what was measured in each
    def parts
      {}
    end
  end
end
