# frozen_string_literal: true

# A worker process of bin/chaos: the gem's public worker, as an application would run it. Its order is a JSON document
# in the first argument. It ends in order when it gets TERM, and at once when its standard input ends, because then
# the harness is gone. On its standard output it writes a line when it can end in order, and one about what it did.

require "json"
require "logger"
require_relative "graphs"
require_relative "handler"

module Chaos
  # Executes steps until it is told to stop.
  class Worker
    # Seconds before the worker is started again while the database is away.
    PAUSE = 0.1

    # @param order [Hash{String => Object}] url, ledger_url, concurrency, heartbeat_interval, dead_after,
    #   shutdown_timeout
    def initialize(order)
      @order = order
      Handler.ledger = Ledger.new(order.fetch("ledger_url"))
      EffectiveHandler.effects = Effects.new(order.fetch("url"))
      TaskerCore.configure do |config|
        config.transaction_connection = -> { EffectiveHandler.effects.connection }
        config.database_url = order.fetch("url")
        config.logger = Logger.new($stderr, level: Logger::INFO)
      end
      TaskerCore.registry.add(Graphs::TEMPLATES)
    end

    # @return [void]
    def run
      trap("TERM") { stop }
      say({})
      worker = start
      summary = worker&.wait
      say({ **summary.to_h, "stale" => worker.stats.fetch("stale") }) if summary
    end

    private

    def say(document)
      $stdout.puts(JSON.generate(document))
      $stdout.flush
    end

    def stop
      @stopping = true
      @worker&.stop
    end

    # The database may be away, or refuse, at this very moment.
    def start
      until @stopping
        begin
          @worker = TaskerCore::Worker.new(**options)
          return @worker.start
        rescue TaskerCore::DatabaseUnavailable, TaskerCore::DatabaseError => e
          TaskerCore.configuration.logger.warn("cannot start yet: #{e.message}")
          sleep(PAUSE)
        end
      end
    end

    def options
      @order.slice("concurrency", "heartbeat_interval", "dead_after", "shutdown_timeout").transform_keys(&:to_sym)
    end
  end
end

Thread.new { $stdin.read && exit!(1) }
Chaos::Worker.new(JSON.parse(ARGV.fetch(0))).run
