# frozen_string_literal: true

require "pg"
require_relative "run"

module Bench
  # Tasks are made and executed for some time, and deleted soon after their end: neither the speed nor the size of the
  # tables nor the memory of a worker may depend on how long it lasts. Of the tasks, so many are open at once.
  class Soak < Run
    # Seconds that a task is kept after its end.
    RETENTION = 1
    # Parts of the time, for each of which speed and size are told; a multiple of 3.
    INTERVALS = 12
    # Shortest time, in seconds, whose sizes say anything: there has to be a state that does not change.
    SHORTEST = 10 * RETENTION
    # What the tables and a worker's memory may take in the last third, compared with the middle third.
    MOST_GROWTH = 1.25
    # Megabytes by which either may grow all the same: a few megabytes more or less are the chance of when a vacuum
    # came, and of how fast the machine was meanwhile.
    MOST_MEGABYTES = 32
    # Tasks that are made at once.
    TASKS_AT_ONCE = 100
    # Autovacuum comes once a minute: in a run of fewer seconds than these, the bench vacuums once in each part.
    AUTOVACUUM = 1_800

    private

    attr_reader :intervals

    def parts
      { "intervals" => intervals }
    end

    def measure
      @intervals = []
      meter = Meter.new(server) { nil }
      peak_rss_mb = nil
      Fleet.open(settings, url) do |fleet|
        connected { |client| meter.measure { feed(client, fleet) } }
        peak_rss_mb = fleet.peak_rss_mb
        @summary = fleet.stop
      end
      { "steps_per_s" => @submitted / meter.seconds, "total_s" => meter.seconds, "peak_rss_mb" => peak_rss_mb,
        "size_mb" => mean("size_mb", 2), "size_growth" => growth_of("size_mb"),
        "rss_growth" => growth_of("rss_mb") }
    end

    def feed(client, fleet)
      client.register(settings.workload.template(settings.steps))
      fleet.begin
      @submitted = 0
      INTERVALS.times { |number| watched(number, fleet) { |till| submit_until(till, client, fleet) } }
      fleet.wait_for(@submitted)
    end

    def submit_until(till, client, fleet)
      while TaskerCore::Internal::Clock.seconds < till
        contexts = Array.new([TASKS_AT_ONCE, settings.tasks].min) { {} }
        client.submit_all(settings.workload.template_name, contexts: contexts)
        @submitted += contexts.size * settings.steps
        fleet.wait_for(@submitted - settings.total_steps)
      end
    end

    def watched(number, fleet)
      before = fleet.completed
      vacuum = Thread.new { ask("VACUUM") } if settings.seconds < AUTOVACUUM
      seconds = timed do
        yield TaskerCore::Internal::Clock.seconds + settings.seconds.fdiv(INTERVALS)
        vacuum&.join
      end
      steps_per_s = (fleet.completed - before) / seconds
      intervals << { "steps_per_s" => steps_per_s.round, **sizes(fleet) }
      say("interval #{number + 1} of #{INTERVALS}: #{intervals.last}")
    end

    def sizes(fleet)
      { "size_mb" => size_mb, "rss_mb" => fleet.rss_mb&.round(1) }
    end

    # The mean in a third of the time, in megabytes; nil where the system does not say.
    def mean(key, third)
      values = intervals.each_slice(INTERVALS / 3).to_a.fetch(third).filter_map { |interval| interval.fetch(key) }
      values.sum / values.size if values.any?
    end

    def growth_of(key)
      mean(key, 2) / mean(key, 1) if long? && mean(key, 1)
    end

    def long?
      settings.seconds >= SHORTEST
    end

    def problems
      check.after_soak(executions: @summary.executions, in_order: @summary.in_order, steps: @submitted) + growth
    end

    def growth
      { "size_mb" => "the tables", "rss_mb" => "a worker's memory" }.filter_map do |key, what|
        next unless grows?(key)

        "#{what} grew from #{mean(key, 1).round(1)} MB in the middle third to #{mean(key, 2).round(1)} MB in the last"
      end
    end

    def grows?(key)
      growth = growth_of(key)
      growth && growth > MOST_GROWTH && mean(key, 2) - mean(key, 1) > MOST_MEGABYTES
    end
  end
end
