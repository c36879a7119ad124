# frozen_string_literal: true

require "pg"
require "tasker_core"
require_relative "check"

module Bench
  # What is done in the database that is measured. Where it is included there are `settings`, `url` and `say`.
  module InDatabase
    # Most tasks that are submitted with one call.
    TASKS_AT_ONCE = 1_000
    # Bytes of all tables, with their indexes and what is stored out of line.
    SIZE = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relname LIKE 'tasker\\_%' AND relkind = 'r'"
    # Bytes in a megabyte.
    MEGA = 1_000_000.0

    private

    def check
      Check.new(settings, url)
    end

    def connected(&block)
      TaskerCore::Client.open(TaskerCore.configuration.with { |config| config.database_url = url }, &block)
    end

    def ask(statement)
      connection = PG.connect(url)
      connection.exec(statement)
    ensure
      connection&.close
    end

    def size_mb
      (ask(SIZE).getvalue(0, 0).to_i / MEGA).round(2)
    end

    # Makes all tasks.
    #
    # @param what [Settings] Default: what the run is to do.
    # @param queue [String, nil] of the steps; nil: the default one
    # @return [Float] seconds that it took, without connecting and recording the template
    def create(client, what = settings, queue: nil)
      say("making #{what.tasks} tasks of #{what.steps} steps")
      client.register(what.workload.template(what.steps, queue: queue))
      contexts = Array.new(what.tasks) { |number| { "number" => number } }
      timed do
        contexts.each_slice(TASKS_AT_ONCE) do |some|
          client.submit_all(what.workload.template_name(queue), contexts: some)
        end
      end
    end

    def timed
      started = TaskerCore::Internal::Clock.seconds
      yield
      TaskerCore::Internal::Clock.seconds - started
    end
  end
end
