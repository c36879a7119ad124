# frozen_string_literal: true

require_relative "run"

module Bench
  # Workers that have nothing to do. What is counted is the transactions of their database between two moments at which
  # all of them are at rest, so that none of starting and ending is among them; nor is one of autovacuum, where the
  # server is the bench's own.
  class Idle < Run
    # Seconds that a fleet gets to come to rest, or as many as are measured where that is less. A session tells what it
    # did at its start when it has been idle for ten.
    REST = 15
    # Fewest seconds for which the limit holds: one transaction more or less is the chance of when a session tells it.
    SHORTEST = 30
    # Most transactions that a whole fleet may make in a second.
    MOST = 1.0
    # Milliseconds in a second.
    MILLI = 1_000.0

    private

    def measure
      connected { |client| client.register(settings.workload.template(settings.steps)) }
      server.without_autovacuum { Fleet.open(settings, url) { |fleet| stay(fleet) } }
      { "queries_per_s" => @queries_per_s, "peak_rss_mb" => @peak_rss_mb,
        "engine_cpu_ms_per_s" => per_second(@meter.engine_cpu),
        "postgres_cpu_ms_per_s" => per_second(@meter.postgres_cpu) }
    end

    def stay(fleet)
      fleet.begin
      say("idle for #{settings.seconds} s")
      sleep([REST, settings.seconds].min)
      @meter = Meter.new(server) { fleet.cpu_seconds }
      @queries_per_s = transactions { @meter.measure { sleep(settings.seconds) } } / @meter.seconds
      @peak_rss_mb = fleet.peak_rss_mb
      @summary = fleet.stop
    end

    def transactions
      before = server.transactions(database)
      yield
      server.transactions(database) - before
    end

    def per_second(seconds)
      seconds && (seconds * MILLI / settings.seconds)
    end

    def problems
      check.after_drain(steps: @summary.steps, in_order: @summary.in_order) + restless
    end

    def restless
      return [] if settings.seconds < SHORTEST || @queries_per_s <= MOST

      ["idle workers made #{@queries_per_s.round(2)} transactions a second; allowed: #{MOST}"]
    end
  end
end
