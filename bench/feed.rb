# frozen_string_literal: true

# How many events a second a feed gives out, from a history of a million of them: tasks of one step are executed, and
# the history that they leave is copied often enough.

$LOAD_PATH.unshift(File.expand_path("../lib", __dir__))
require_relative "micro/clocks"
require_relative "micro/engine"
require_relative "micro/options"
require_relative "micro/report"

module Micro
  # Measures the feed.
  class Feed
    # Events that the history holds at least.
    EVENTS = 1_000_000
    # Events that a step leaves, with those of its task.
    EVENTS_PER_STEP = 4
    # The history again, numbered anew.
    COPY = <<~SQL
      WITH steps AS (
        INSERT INTO tasker_workflow_step_transitions
          (workflow_step_id, from_state, to_state, event, attempt, worker_id, created_at, claimed_at, execution_us, outcome)
        SELECT workflow_step_id, from_state, to_state, event, attempt, worker_id, created_at, claimed_at, execution_us,
               outcome
        FROM tasker_workflow_step_transitions
        WHERE workflow_step_transition_id <= $1::bigint
      )
      INSERT INTO tasker_task_transitions (task_id, from_state, to_state, event, detail, created_at)
      SELECT task_id, from_state, to_state, event, detail, created_at
      FROM tasker_task_transitions
      WHERE task_transition_id <= $1::bigint
    SQL

    # @param options [Options]
    def initialize(options)
      @options = options
    end

    # @return [Hash{String => Object}] the figures
    def run
      Engine.open do |engine|
        execute(engine)
        rows = copy
        index = Clocks.elapsed_ns { TaskerCore.client.open_feed({ consumer: "index", from: 0 }) }
        { "bench" => "feed", "events" => rows, "indexes_s" => index.fdiv(1e9), **read(rows), **read_some(rows) }
      end
    end

    private

    def execute(engine)
      engine.submit(@options.steps)
      worker = TaskerCore::Worker.new(concurrency: @options.threads).start
      engine.await(@options.steps) { worker.stats.fetch("completed") }
    ensure
      worker&.stop
      worker&.wait
    end

    def copy
      connection = PG.connect(TaskerCore.configuration.database_url)
      made = @options.steps * EVENTS_PER_STEP
      copies = EVENTS.fdiv(made).ceil
      (copies - 1).times { connection.exec_params(COPY, [made]) }
      connection.exec("ANALYZE")
      copies * made
    ensure
      connection&.close
    end

    def feed(consumer, **options)
      TaskerCore.client.feed(consumer, from: :beginning, **options)
    end

    def read(rows)
      last = taken = 0
      elapsed = Clocks.elapsed_ns do
        feed("all").each_batch(follow: false) do |events|
          raise "not in order" unless events.first.number > last

          last = events.last.number
          taken += events.size
        end
      end
      raise "#{taken} of #{rows} events" unless taken == rows

      { "events_per_s" => (rows * 1e9 / elapsed).round }
    end

    def read_some(rows)
      failed = 0
      elapsed = Clocks.elapsed_ns do
        feed("some", events: ["task.failed"]).each_batch(follow: false) { |events| failed += events.size }
      end
      raise "#{failed} tasks have failed" unless failed.zero?

      { "passed_over_per_s" => (rows * 1e9 / elapsed).round }
    end
  end
end

options = Micro::Options.new(ARGV, what: "How many events a second a feed gives out.")
Micro::Report.print(Micro::Feed.new(options).run)
