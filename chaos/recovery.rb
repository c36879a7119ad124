# frozen_string_literal: true

require_relative "clock"
require_relative "fleet"
require_relative "graphs"
require_relative "run"
require_relative "server"
require_relative "verdict"

module Chaos
  # Measures how long it takes until work goes on: after workers are killed while they run steps, after Postgres
  # crashes, and what is lost when workers are asked to end.
  class Recovery
    # What a measurement is asked for: how many workers are killed in all, which share of the fleet at a time, worker
    # processes, and the seconds after which a worker without a heartbeat is dead.
    Settings = Struct.new(:kills, :share, :processes, :dead_after, keyword_init: true)

    # Heartbeats in the life of a worker, as by default.
    HEARTBEATS = 3
    # Seconds that a step takes.
    STEP_SECONDS = 4
    # Steps at a time for each worker process, and its threads: those that are left hold some, and have room for all.
    STEPS_EACH = 2
    CONCURRENCY = 4
    # A task whose step succeeds at once.
    SEED = (0..).find { |seed| Behaviour.of(seed, "s0").outcome(1) == "succeeded" }
    # Postgres crashes, and workers asked to end, in one measurement.
    RESTARTS = 5
    TERMS = 10
    # Seconds after which what did not go on will not.
    PATIENCE = 60
    PAUSE = 0.02
    # Promised seconds: beyond `dead_after`, from the death of a worker to the next attempt, for 99 of 100; and from the
    # moment when Postgres accepts connections again until work goes on.
    BEYOND_S = 4.0
    RESTART_S = 5.0

    RUNNING = "SELECT step_id, attempt, pid FROM chaos.ledger WHERE finished_ns IS NULL"
    # The next attempt, or that there is none because the step killed too many workers.
    NEXT = <<~SQL.freeze
      SELECT (SELECT min(started_ns) FROM chaos.ledger WHERE step_id = $1 AND attempt > $2) AS started_ns
      FROM tasker_workflow_steps s
      WHERE workflow_step_id = $1 AND (state = 'error' OR EXISTS (
        SELECT FROM chaos.ledger WHERE step_id = $1 AND attempt > $2))
    SQL
    # The server's clock is that of this machine.
    GOES_ON = "SELECT extract(epoch FROM min(created_at)) - $1::float AS wait FROM tasker_workflow_step_transitions " \
              "WHERE created_at > to_timestamp($1::float)"
    CUT_OFF = "SELECT count(*) FROM tasker_attempts " \
              "WHERE outcome IN ('worker_died', 'interrupted') AND finished_at > $1"

    # @param settings [Settings]
    # @param progress [#call] told what happens: a kind and a text
    def initialize(settings, progress: ->(_kind, _text) {})
      @settings = settings
      @progress = progress
      @killed = 0
    end

    # @return [Hash{String => Object}] the report; "violations" is a number, "found" lists them
    def call
      Server.open do |server|
        @server = server
        Fleet.open([order] * @settings.processes) do |fleet|
          @fleet = fleet
          @client = TaskerCore::Client.new(TaskerCore.configuration.with { |config| config.database_url = server.url })
          measure
        ensure
          @client&.close
        end
      end
    end

    private

    def order
      { "url" => @server.url, "ledger_url" => @server.url, "concurrency" => CONCURRENCY, "shutdown_timeout" => 25.0,
        "heartbeat_interval" => @settings.dead_after.fdiv(HEARTBEATS), "dead_after" => @settings.dead_after }
    end

    def measure
      recoveries = kills
      restarts = Array.new(RESTARTS) { |number| restart(number + 1) }
      cut_off = terms
      verdict = Verdict.new(@server, @fleet)
      verdict.drain
      report(recoveries.sort, restarts, cut_off, verdict.violations)
    end

    # Up to so much of the fleet at a time, at any moment of a step.
    def kills
      recoveries = []
      while @killed < @settings.kills
        sleep(rand(STEP_SECONDS.to_f))
        recoveries.concat(kill([(@settings.processes * @settings.share).floor, 1].max))
        @progress.call(:status, "#{@killed} of #{@settings.kills} workers killed")
      end
      recoveries
    end

    # @return [Array<Float>] seconds from the death of its worker to the next attempt, for each step that was cut off
    def kill(number)
      victims = busy_members.first(number)
      killed_ns = victims.to_h { |member| [member.pid, Clock.now_ns.tap { member.signal("KILL") }] }
      victims.each(&:status)
      cut_off = running.select { |row| killed_ns.key?(row["pid"].to_i) }
      @killed += victims.size
      @fleet.tend
      cut_off.filter_map { |row| recovery_of(row, killed_ns.fetch(row["pid"].to_i)) }
    end

    # @return [Float, nil] seconds; nil: the step was given up
    def recovery_of(row, killed_ns)
      started_ns = next_start(row)
      started_ns && ((started_ns - killed_ns) / 1e9)
    end

    # Waits until a third of them run a step.
    def busy_members
      wait_for("the workers run steps") do
        feed
        busy = running.map { |row| row["pid"].to_i }
        members = @fleet.members.select { |member| busy.include?(member.pid) }
        members if members.size * 3 >= @fleet.members.size
      end
    end

    # So many steps are open that each process has some.
    def feed
      missing = (@settings.processes * STEPS_EACH) - @server.rows(Verdict::OPEN).first["count"].to_i
      submit(missing) if missing.positive?
    end

    # @return [Array<Integer>, nil] nil: the database is not there
    def submit(number)
      contexts = Array.new(number) { { "seed" => SEED, "seconds" => STEP_SECONDS } }
      @client.submit_all("single", namespace: Graphs::NAMESPACE, contexts: contexts)
    rescue TaskerCore::DatabaseUnavailable
      nil # Postgres was restarted, and the next round finds it.
    end

    def running
      @server.rows(RUNNING)
    end

    # @return [Integer, nil] nanoseconds; nil: the step was given up
    def next_start(row)
      answer = wait_for("step #{row["step_id"]} is executed again") do
        feed
        @server.rows(NEXT, [row["step_id"], row["attempt"]]).first
      end
      answer["started_ns"]&.to_i
    end

    # @return [Float] seconds from when Postgres accepts connections again until work goes on: there is a task to begin
    #   with, and steps take their time to end
    def restart(number)
      @progress.call(:status, "restart #{number} of #{RESTARTS}")
      busy_members
      @server.crash
      ready = Time.now.to_f
      wait_for("a task is made after a restart") { submit(1) }
      wait_for("work goes on after a restart") { @server.rows(GOES_ON, [ready]).first["wait"]&.to_f }
    end

    # @return [Integer] attempts that were lost
    def terms
      began = @server.rows("SELECT now()").first["now"]
      TERMS.times do |number|
        @progress.call(:status, "TERM #{number + 1} of #{TERMS}")
        member = busy_members.first
        member.signal("TERM")
        member.status
        @fleet.tend
      end
      @server.rows(CUT_OFF, [began]).first["count"].to_i
    end

    def wait_for(what)
      deadline = Clock.now + PATIENCE
      until (result = yield)
        over = Clock.now > deadline
        raise TaskerCore::TimeoutError, "waited #{PATIENCE} s in vain until #{what}" if over

        sleep(PAUSE)
      end
      result
    end

    def late(what, seconds, promised)
      "#{what} came after #{seconds.round(2)} s, promised are #{promised} s" if seconds > promised
    end

    def report(recoveries, restarts, cut_off, violations)
      p50, p99 = [0.5, 0.99].map { |share| recoveries[((recoveries.size - 1) * share).ceil] }
      found = violations + broken(p99, restarts, cut_off)
      { "kills" => @killed, **@settings.to_h.slice(:share, :processes).transform_keys(&:to_s),
        "dead_after_s" => @settings.dead_after, "attempts_cut_off" => recoveries.size,
        "p50_s" => p50.round(2), "p99_s" => p99.round(2), "max_s" => recoveries.last.round(2),
        "restarts" => restarts.size, "restart_max_s" => restarts.max.round(2), "terms" => TERMS,
        "attempts_lost_by_term" => cut_off, "violations" => found.size, "found" => found.first(Run::LISTED) }
    end

    def broken(p99, restarts, cut_off)
      [*late("the next attempt", p99, @settings.dead_after + BEYOND_S),
       *late("the first change after a restart", restarts.max, RESTART_S),
       *("#{cut_off} attempts were lost by TERM" if cut_off.positive?)]
    end
  end
end
