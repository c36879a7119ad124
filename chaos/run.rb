# frozen_string_literal: true

require_relative "application"
require_relative "consumer"
require_relative "fleet"
require_relative "injector"
require_relative "load"
require_relative "network"
require_relative "operator"
require_relative "pooler"
require_relative "schedule"
require_relative "server"
require_relative "verdict"
require_relative "world"

module Chaos
  # One run: tasks are made and executed while faults happen; then the faults end, everything has to come to its end,
  # and what happened is checked.
  class Run
    # What a run is asked for. Seconds, and tasks that are made in a second.
    Settings = Struct.new(:seconds, :seed, :processes, :faults, :rate, :gap, keyword_init: true)

    # Options of the workers: a shorter life than by default, so that more happens in a minute; and time to end that is
    # enough to give up two connections that are silent, one after the other.
    LIFE = { "concurrency" => 4, "heartbeat_interval" => 0.5, "dead_after" => 2.0, "shutdown_timeout" => 60.0 }.freeze
    # Violations that are listed in the report.
    LISTED = 20
    VERSION = "SHOW server_version"
    NUMBERS = { "executions" => "SELECT count(*) FROM chaos.ledger",
                "events_taken" => "SELECT count(*) FROM chaos.taken",
                "workers_buried" => "SELECT count(*) FROM tasker_workers WHERE state = 'dead'" }.freeze
    GROUPS = {
      "tasks" => "SELECT state, count(*) FROM tasker_tasks GROUP BY 1 ORDER BY 1",
      "steps" => "SELECT state, count(*) FROM tasker_workflow_steps GROUP BY 1 ORDER BY 1",
      "attempts" => "SELECT outcome, count(*) FROM tasker_attempts GROUP BY 1 ORDER BY 1",
      "polls_timed_out" => <<~SQL
        SELECT l.outcome, count(*) FROM chaos.ledger l
        JOIN tasker_workflow_steps s ON s.workflow_step_id = l.step_id JOIN tasker_named_steps n USING (named_step_id)
        WHERE n.name IN ('#{Poll::STEPS.join("', '")}') AND l.product->>'timed_out' = 'true' GROUP BY 1 ORDER BY 1
      SQL
    }.freeze

    # @param settings [Settings]
    # @param progress [#call] told what happens: a kind (:fault, :status, :phase) and a text
    def initialize(settings, progress: ->(_kind, _text) {})
      @settings = settings
      @progress = progress
    end

    # @return [Hash{String => Object}] the report; "violations" is a number, "kinds" counts them by what they tell,
    #   "found" lists the first of them
    # @example
    #   Run.new(settings).call["violations"] # => 0
    def call
      Server.open do |server|
        Faults::Errors.prepare(server)
        connected(server) do |network|
          Fleet.open(orders(server, network)) do |fleet|
            @world = World.new(server: server, network: network, fleet: fleet)
            work
            judge
          end
        end
      end
    end

    private

    attr_reader :world

    # Each second place reaches Postgres through a pooler that shares sessions, where that is installed.
    def connected(server, &block)
      straight = -> { UNIXSocket.new(server.socket) }
      return Network.open([straight] * (@settings.processes + 1), &block) unless Pooler.installed?

      Pooler.open(server.url) do |pooler|
        places = Array.new(@settings.processes) { |place| place.odd? ? pooler.method(:connect) : straight }
        Network.open([*places, straight], &block)
      end
    end

    def orders(server, network)
      network.ports[...-1].map { |port| { "url" => server.url_through(port), "ledger_url" => server.url, **LIFE } }
    end

    # Who makes tasks ends before who steers them.
    def work
      all = others.each(&:start)
      inject
      all.each(&:stop)
    end

    # Who reaches Postgres besides workers.
    def others
      url = world.server.url_through(world.network.ports.last)
      seed, rate = @settings.to_h.values_at(:seed, :rate)
      @operator = Operator.new(url, world.server, seed: seed)
      @load = Load.new(url, seed: seed, rate: rate) { |receipt| @operator.add(receipt) }
      @application = Application.new(url, world.server, seed: seed, rate: rate) { |receipt| @operator.add(receipt) }
      @consumer = Consumer.new(url, world.server, seed: seed)
      [@load, @application, @operator, @consumer]
    end

    def judge
      @progress.call(:phase, "no more faults; what is open has to end")
      verdict = Verdict.new(world.server, world.fleet, asked)
      @drained = verdict.drain
      @progress.call(:phase, "checking")
      report(verdict.violations + @operator.complaints + @consumer.violations + @application.violations)
    end

    def asked
      Asked.new(receipts + @operator.forks, @load.keys + @operator.keys, @operator.bulk)
    end

    # Of tasks that were acknowledged.
    def receipts
      @load.receipts + @application.receipts
    end

    def inject
      schedule = Schedule.new(seed: @settings.seed, seconds: @settings.seconds, names: @settings.faults,
                              gap: @settings.gap || Schedule::GAP)
      @injector = Injector.new(world, schedule, @settings.seconds) do |at, name, what|
        @progress.call(:fault, format("%<at>7.1f s  %<name>-18s %<what>s", at: at, name: name, what: what))
      end
      @injector.run { |elapsed| @progress.call(:status, status(elapsed)) }
      world.network.calm
    end

    def status(elapsed)
      format("%<at>d of %<all>d s, %<tasks>d tasks made, %<faults>d faults",
             at: elapsed, all: @settings.seconds, tasks: receipts.size, faults: @injector.counts.values.sum)
    end

    def report(found)
      asked = @settings.to_h.slice(:seed, :seconds, :processes).transform_keys(&:to_s)
      violations = { "violations" => found.size, "kinds" => Checker.kinds(found), "found" => found.first(LISTED) }
      [asked, happened, recorded, violations].reduce(&:merge)
    end

    def recorded
      { **GROUPS.transform_values { |sql| groups(sql) }, **NUMBERS.transform_values { |sql| value(sql).to_i },
        "late_ends_refused" => world.fleet.sums[:stale], "workers_pooled" => pooled,
        "consumers_started" => @consumer.started, "drained_s" => @drained.round(1),
        "postgres" => value(VERSION) }
    end

    def happened
      { "faults" => @injector.counts, "connections" => world.network.counts, "acknowledged" => receipts.size,
        "keys" => @load.keys.size, "orders" => @application.orders.map(&:fate).tally, "calls" => calls,
        "requests" => requests }
    end

    def calls
      [@load, @application, @operator].map(&:counts).reduce { |sum, counts| sum.merge(counts) { |_, *both| both.sum } }
    end

    # Kind and answer => how many.
    def requests
      all = receipts.flat_map(&:requests) + @operator.bulk
      all.map { |request| "#{request.kind} #{request.answer}" }.tally.sort.to_h
    end

    def pooled
      Pooler.installed? ? @settings.processes / 2 : 0
    end

    def groups(sql)
      world.server.rows(sql).to_h { |row| [row.values.first, row["count"].to_i] }
    end

    def value(sql)
      world.server.rows(sql).first.values.first
    end
  end
end
