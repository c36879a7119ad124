# frozen_string_literal: true

require_relative "run"

module Bench
  # Tasks are made, and no worker runs. The engine is this process.
  class Creation < Run
    private

    def measure
      @meter = Meter.new(server) { Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID) }
      seconds = nil
      commits = server.commits_during(database) do
        connected { |client| @meter.measure { seconds = create(client) } }
      end
      { "create_per_s" => settings.total_steps / seconds, "total_s" => @meter.seconds,
        "peak_rss_mb" => ProcessClock.peak_rss_mb(Process.pid),
        **@meter.per_step(settings.total_steps, commits: commits) }
    end

    def parts
      @meter.profile(settings.total_steps)
    end

    def problems
      check.after_creation
    end
  end
end
