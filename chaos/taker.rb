# frozen_string_literal: true

# A process of bin/chaos that takes what the durable feed gives out, as an application would that keeps its own cursor.
# Its order is a JSON document in the first argument. It ends when there is no more, or goes on, by its order; and at
# once when its standard input ends, because then the harness is gone.

require "json"
require "logger"
require "pg"
require "tasker_core"

module Chaos
  # Takes events into a table of the harness, together with the cursor.
  class Taker
    # Events that are taken at once.
    SIZE = 100
    CURSOR = "SELECT number FROM chaos.cursor"
    # Where another process has moved the cursor meanwhile, nothing is taken.
    TAKE = <<~SQL
      WITH moved AS (UPDATE chaos.cursor SET number = $2 WHERE number = $1 RETURNING number)
      INSERT INTO chaos.taken (number) SELECT unnest($3::bigint[]) FROM moved
    SQL

    # @param order [Hash{String => Object}] url, of the feed; ledger_url, of the table; follow
    def initialize(order)
      @order = order
      TaskerCore.configure do |config|
        config.database_url = order.fetch("url")
        config.logger = Logger.new($stderr, level: Logger::INFO)
      end
    end

    # @return [void]
    # @raise [StandardError] the database was away when the events were to be taken, or somebody else has taken them
    def run
      connection = PG.connect(@order.fetch("ledger_url"), application_name: "chaos_taker")
      last = connection.exec(CURSOR).getvalue(0, 0).to_i
      TaskerCore::Feed.new(from: last).each_batch(size: SIZE, follow: @order.fetch("follow")) do |events, cursor|
        numbers = "{#{events.map(&:number).join(",")}}"
        taken = connection.exec_params(TAKE, [last, cursor, numbers]).cmd_tuples
        raise "#{taken} of #{events.size} events were taken after #{last}" unless taken == events.size

        last = cursor
      end
    end
  end
end

Thread.new { $stdin.read && exit!(1) }
Chaos::Taker.new(JSON.parse(ARGV.fetch(0))).run
