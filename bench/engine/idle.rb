# frozen_string_literal: true

require_relative "run"

module Bench
  # Workers that have nothing to do. Sessions tell their statistics when they end, so two fleets are started: one that
  # ends at once, whose transactions are those of starting and ending, and one that stays. The difference is what the
  # second did while it was idle.
  class Idle < Run
    # Seconds that a fleet gets to come to rest before CPU time is counted.
    REST = 1.0
    # Milliseconds in a second.
    MILLI = 1_000.0

    private

    def measure
      connected { |client| client.register(settings.workload.template(settings.steps)) }
      start = commits_of_fleet { |_fleet| nil }
      stay = commits_of_fleet { |fleet| stay(fleet) }
      { "queries_per_s" => (stay - start) / (REST + settings.seconds), "peak_rss_mb" => @peak_rss_mb,
        "engine_cpu_ms_per_s" => per_second(@meter.engine_cpu),
        "postgres_cpu_ms_per_s" => per_second(@meter.postgres_cpu) }
    end

    def commits_of_fleet
      Fleet.open(settings, url) do |fleet|
        server.commits_during(database) do
          fleet.begin
          yield fleet
          @summary = fleet.stop
        end
      end
    end

    def stay(fleet)
      say("idle for #{settings.seconds} s")
      sleep(REST)
      @meter = Meter.new(server) { fleet.cpu_seconds }
      @meter.measure { sleep(settings.seconds) }
      @peak_rss_mb = fleet.peak_rss_mb
    end

    def per_second(seconds)
      seconds && (seconds * MILLI / settings.seconds)
    end

    def problems
      check.after_drain(executions: @summary.executions, in_order: @summary.in_order)
    end
  end
end
