# frozen_string_literal: true

require_relative "run"

module Bench
  # Tasks are made while the workers wait; then the workers execute all of them. The speed is that of the second
  # part alone: from the first claim to the moment when the last end is known to be committed, on the server's clock.
  class Drain < Run
    private

    def measure
      Fleet.open(settings, url) do |fleet|
        creation = connected { |client| create(client) }
        costs = execute(fleet)
        { "create_per_s" => settings.total_steps / creation,
          "steps_per_s" => attempts / (@meter.stopped_at - first_claim),
          "total_s" => creation + @meter.seconds, **costs, **events }
      end
    end

    def execute(fleet)
      @meter = Meter.new(server) { fleet.cpu_seconds }
      peak_rss_mb = nil
      commits = server.commits_during(database) do
        work(fleet)
        peak_rss_mb = fleet.peak_rss_mb
        @summary = fleet.stop
      end
      { "peak_rss_mb" => peak_rss_mb, **@meter.per_step(attempts, commits: commits) }
    end

    # One for each step.
    def attempts
      settings.total_steps
    end

    def work(fleet)
      say("executing #{attempts} steps")
      @meter.measure do
        fleet.begin
        fleet.wait_for(attempts)
      end
    end

    def first_claim
      ask(RecordQueries::FIRST_CLAIM).getvalue(0, 0).to_f
    end

    # From the first event that a subscriber was told to the last; the monotonic clock is one for all processes.
    def events
      return {} unless settings.subscribe

      told = @summary.events.reject { |report| report["count"].zero? }
      count, first, last = %w[count first last].map { |name| told.map { |report| report[name] } }
      { "events" => count.sum, "events_per_s" => count.sum / (last.max - first.min) }
    end

    def parts
      @meter.profile(attempts)
    end

    def problems
      check.after_drain(steps: @summary.steps, in_order: @summary.in_order) + missed
    end

    def missed
      settings.subscribe ? check.told(@summary.events) : []
    end
  end
end
