# frozen_string_literal: true

require_relative "../engine/fleet"

module Bench
  # The worker processes of another engine. What they executed is in {Fleet::Summary}'s `starts`: for each job the
  # number of its task, its step, and its begin and end in nanoseconds of the monotonic clock.
  class JobFleet < Fleet
    # @param settings [Settings]
    # @param url [String] of the engine's store
    # @return [Hash{String => Object}] what its processes are told to do
    def self.order(settings, url)
      { "url" => url, "concurrency" => settings.concurrency, "tick_ms" => TICK_MS, "tasks" => settings.tasks,
        "parents" => settings.workload.parents(settings.steps) }
    end

    private

    def order
      self.class.order(@settings, @url)
    end
  end
end
