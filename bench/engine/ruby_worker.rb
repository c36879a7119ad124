# frozen_string_literal: true

# The worker process of `bin/bench --handler ruby`: the gem's public worker, with handlers that do nothing.
#
# One JSON document a line. It reads its order, says that it is ready, reads one more line to begin, says when it has
# begun and then how many attempts are recorded, until its standard input ends; then it says what was executed.

require "json"
require_relative "event_count"
require_relative "handlers"
require_relative "worker_talk"

module Bench
  # Executes steps as it is told on its standard input.
  class RubyWorker
    include WorkerTalk

    # @param input [IO]
    # @param output [IO]
    def initialize(input: $stdin, output: $stdout)
      @input = input
      @output = output
      @output.sync = true
    end

    # @return [void]
    # @raise [TaskerCore::Error] the worker could not go on
    def run
      order = @input.gets
      return unless order

      worker = prepare(JSON.parse(order))
      say("ready" => true)
      return unless @input.gets

      worker.start
      say("begun" => true)
      tell_progress { completed(worker) }
      worker.stop
      summary = worker.wait
      say("executions" => Executions.count, "steps" => Executions.steps, "starts" => Executions.starts,
          "in_order" => summary.in_order, "events" => events(worker))
    end

    private

    def prepare(order)
      TaskerCore.configure { |config| config.database_url = order.fetch("url") }
      @tick = order.fetch("tick_ms") / 1000.0
      Handlers.results = JSON.parse(order.fetch("results"), freeze: true)
      Handlers.work_us = order.fetch("work_us")
      Executions.noted = order.fetch("noted")
      @events = EventCount.new.subscribe if order["subscribe"]
      retention = order.fetch("retention_s")
      TaskerCore::Worker.new(concurrency: order.fetch("concurrency"), queues: order.fetch("queues"),
                             **(retention ? { retention: retention } : {}))
    end

    def events(worker)
      @events && { **@events.report, "dropped" => worker.stats.fetch("events_dropped") }
    end

    # Fails when the worker did.
    def completed(worker)
      worker.wait unless worker.running?
      worker.stats.fetch("completed")
    end
  end
end

Bench::RubyWorker.new.run
