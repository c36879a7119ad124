# frozen_string_literal: true

require "tasker_core/internal/clock"
require_relative "checker"
require_relative "fleet"
require_relative "injector"
require_relative "load"
require_relative "proxy"
require_relative "records"
require_relative "schedule"
require_relative "server"
require_relative "world"

module Chaos
  # One run: tasks are made and executed while faults happen; then the faults end, everything has to come to its end,
  # and what happened is checked.
  class Run
    # What a run is asked for. Seconds, and tasks that are made in a second.
    Settings = Struct.new(:seconds, :seed, :processes, :faults, :rate, :gap, keyword_init: true)

    # Options of the workers: a shorter life than by default, so that more happens in a minute.
    LIFE = { "concurrency" => 4, "heartbeat_interval" => 0.5, "dead_after" => 2.0, "shutdown_timeout" => 5.0 }.freeze
    # Seconds without any change after which what has not ended will not.
    STALLED = 90
    # Seconds between two looks at what is left.
    PAUSE = 0.25
    # Violations that are listed in the report.
    LISTED = 20
    OPEN = "SELECT count(*) FROM tasker_tasks WHERE finished_at IS NULL AND state <> 'blocked'"
    CHANGES = "SELECT (SELECT count(*) FROM tasker_workflow_step_transitions) AS steps, " \
              "(SELECT count(*) FROM tasker_task_transitions) AS tasks"
    BURIED = "SELECT count(*) FROM tasker_workers WHERE state = 'dead'"
    COUNTS = {
      "tasks" => "SELECT state, count(*) FROM tasker_tasks GROUP BY 1 ORDER BY 1",
      "steps" => "SELECT state, count(*) FROM tasker_workflow_steps GROUP BY 1 ORDER BY 1",
      "attempts" => "SELECT outcome, count(*) FROM tasker_attempts GROUP BY 1 ORDER BY 1"
    }.freeze

    # @param settings [Settings]
    # @param progress [#call] told what happens: a kind (:fault, :status, :phase) and a text
    def initialize(settings, progress: ->(_kind, _text) {})
      @settings = settings
      @progress = progress
    end

    # @return [Hash{String => Object}] the report; "violations" is a number, "found" lists the first of them
    # @example
    #   Run.new(settings).call["violations"] # => 0
    def call
      Server.open do |server|
        Faults::Errors.prepare(server)
        Proxy.open(-> { UNIXSocket.new(server.socket) }) do |proxy|
          Fleet.open(@settings.processes, order(server, proxy)) do |fleet|
            @world = World.new(server: server, proxy: proxy, fleet: fleet)
            work
            report(check)
          end
        end
      end
    end

    private

    attr_reader :world

    def order(server, proxy)
      { "url" => server.url_through(proxy.port), "ledger_url" => server.url, **LIFE }
    end

    def work
      @load = Load.new(world.server.url_through(world.proxy.port), seed: @settings.seed, rate: @settings.rate)
      @load.start
      inject
      @load.stop
      drain
      stop
    end

    def inject
      schedule = Schedule.new(seed: @settings.seed, seconds: @settings.seconds, names: @settings.faults,
                              gap: @settings.gap || Schedule::GAP)
      @injector = Injector.new(world, schedule, @settings.seconds) do |at, name, what|
        @progress.call(:fault, format("%<at>7.1f s  %<name>-18s %<what>s", at: at, name: name, what: what))
      end
      @injector.run { |elapsed| @progress.call(:status, status(elapsed)) }
      world.proxy.calm
    end

    def status(elapsed)
      format("%<at>d of %<all>d s, %<tasks>d tasks made, %<faults>d faults",
             at: elapsed, all: @settings.seconds, tasks: @load.receipts.size, faults: @injector.counts.values.sum)
    end

    # Everything that was begun has to end, with the workers that are there and those that replace them.
    def drain
      @progress.call(:phase, "no more faults; what is open has to end")
      started = changed_at = now
      changes = nil
      until open_tasks.zero?
        world.fleet.tend
        seen = world.server.rows(CHANGES)
        changes, changed_at = seen, now unless seen == changes
        break if now - changed_at > STALLED

        sleep(PAUSE)
      end
      @drained = now - started
    end

    def open_tasks
      world.server.rows(OPEN).first.fetch("count").to_i
    end

    # With nothing in their way, workers write everything before they end.
    def stop
      before = world.fleet.sums[:not_in_order]
      world.fleet.stop
      late = world.fleet.sums[:not_in_order] - before
      world.fleet.complaints << "#{late} workers could not write everything before they ended" if late.positive?
    end

    def check
      @progress.call(:phase, "checking")
      records = Records.new(world.server, @load.receipts)
      ids = []
      found = []
      records.each do |record|
        ids << record.id
        found.concat(Checker.new(record).violations)
      end
      found + Checker.lost(@load.receipts, ids) + foreign(records) + doctor + world.fleet.complaints
    end

    def foreign(records)
      records.foreign.map { |row| "task #{row["task_id"]}, step #{row["step_id"]}: executed, and the step is not there" }
    end

    def doctor
      world.server.client(&:doctor).fetch("checks").reject { |check| check.fetch("ok") }
           .map { |check| "tasker doctor: #{check.fetch("name")}: #{check.fetch("detail")}" }
    end

    def report(found)
      { "seed" => @settings.seed, "seconds" => @settings.seconds, "processes" => @settings.processes,
        "postgres" => world.server.rows("SHOW server_version").first.values.first,
        "faults" => @injector.counts, "connections" => world.proxy.counts.transform_keys(&:to_s),
        "acknowledged" => @load.receipts.size, "calls" => @load.counts.transform_keys(&:to_s),
        **COUNTS.transform_values { |sql| counts(sql) },
        "executions" => world.server.rows("SELECT count(*) FROM chaos.ledger").first["count"].to_i,
        "workers_buried" => world.server.rows(BURIED).first["count"].to_i,
        "late_ends_refused" => world.fleet.sums[:stale], "drained_s" => @drained.round(1),
        "violations" => found.size, "found" => found.first(LISTED) }
    end

    def counts(sql)
      world.server.rows(sql).to_h { |row| [row.values.first, row["count"].to_i] }
    end

    def now
      TaskerCore::Internal::Clock.seconds
    end
  end
end
