# frozen_string_literal: true

require_relative "old_snapshot"
require_relative "pruning"
require_relative "run"

module Bench
  # The same rounds of work in empty tables, in full ones, while a transaction keeps dead rows, and while all that has
  # ended is deleted: what a step costs may depend on none but the last. All rounds are in one database, so each finds
  # what the rounds before it left as well, and autovacuum comes when it wants to.
  class Flat < Run
    # Rounds of each load in a phase; the median counts.
    ROUNDS = 3
    # Tasks of one step in a round, for each task of the round of chains.
    INDEPENDENT = 4
    # The queue that workers serve, and one that they do not.
    QUEUE = "default"
    LATER = "later"
    # Part of the transaction's time after which the doctor must name it.
    OLD = 0.5
    # Part of the speed before the transaction at which the engine has recovered from it.
    RECOVERED = 0.9
    # Seconds after which it is no longer waited for that.
    PATIENCE = 120

    private

    # The speed of each load, and how many steps the tables held before.
    Round = Struct.new(:linear, :independent, :steps_before)
    private_constant :Round

    attr_reader :phases

    def parts
      { "phases" => phases }
    end

    def measure
      @phases = []
      @problems = []
      @executed = @pending = @executions = @pruned = 0
      @in_order = true
      seconds = timed { go_through_phases }
      { "total_s" => seconds, "peak_rss_mb" => @peak_rss_mb, "size_mb" => size_mb, "recovery_s" => @recovery_s,
        "pruned_rows_per_s" => @pruned_rows_per_s }
    end

    def go_through_phases
      phase("empty", rounds)
      execute(load("linear", settings.backlog.fdiv(settings.steps).ceil, settings.steps))
      phase("finished", rounds)
      leave_pending
      phase("pending", rounds)
      hold_snapshot
      @recovery_s = recover
      phase("recovered", rounds)
      prune_beside_rounds
    end

    # Half of the steps are in chains, of which the first can be executed; the others all can.
    def leave_pending
      half = settings.backlog / 2.0
      some = [load("linear", (half / settings.steps).ceil, settings.steps), load("independent", half.ceil, 1)]
      connected { |client| some.each { |load| create(client, load, queue: LATER) } }
      @pending = some.sum(&:total_steps)
    end

    # The doctor reads all tables, so it is asked when nothing is measured.
    def hold_snapshot
      OldSnapshot.hold(url) do |snapshot|
        rounds = rounds_while(2 * ROUNDS) { |seconds| seconds < settings.seconds }
        phase("snapshot_begin", rounds.first(ROUNDS))
        phase("snapshot_end", rounds.last(ROUNDS))
        say("asking the doctor")
        report = connected { |client| client.doctor(old_transaction: settings.seconds * OLD) }
        @problems += snapshot.problems(report)
      end
    end

    def prune_beside_rounds
      connected do |client|
        pruning = Pruning.beside(client) { phase("pruning", rounds) }
        @pruned = pruning.steps
        @pruned_rows_per_s = pruning.rows_per_s
      end
    end

    # Seconds until a round ended that was nearly as fast as those before the transaction; nil: none was.
    def recover
      before = phases.find { |phase| phase.fetch("phase") == "pending" }
      recovered = false
      seconds = timed do
        rounds_while(1) { |passed| !(recovered = recovered?(before)) && passed < PATIENCE }
      end
      seconds if recovered
    end

    def recovered?(before)
      @round.linear >= before.fetch("linear_steps_per_s") * RECOVERED &&
        @round.independent >= before.fetch("independent_steps_per_s") * RECOVERED
    end

    def rounds
      rounds_while(ROUNDS) { false }
    end

    # At least so many, and more while the block, which is told the seconds that have passed, says so.
    def rounds_while(least)
      started = TaskerCore::Internal::Clock.seconds
      done = []
      done << round while done.size < least || yield(TaskerCore::Internal::Clock.seconds - started)
      done
    end

    def round
      before = @executed + @pending
      @round = Round.new(execute(load("linear", settings.tasks, settings.steps)),
                         execute(load("independent", settings.tasks * INDEPENDENT, 1)), before)
    end

    def load(name, tasks, steps)
      Settings.new(**settings.to_h, workload: Workload.find(name), tasks: tasks, steps: steps)
    end

    # Makes the tasks, then lets workers execute them.
    #
    # @return [Float] steps a second, from the first worker's registration on, as the search for claims may take time
    def execute(load)
      connected { |client| create(client, load) }
      say("executing #{load.total_steps} steps")
      Fleet.open(settings, url) do |fleet|
        fleet.begin
        fleet.wait_for(load.total_steps)
        seconds = server.moment.seconds - ask(RecordQueries::FIRST_WORKER).getvalue(0, 0).to_f
        note(fleet, load.total_steps)
        load.total_steps / seconds
      end
    end

    def note(fleet, steps)
      @executed += steps
      @peak_rss_mb = [@peak_rss_mb, fleet.peak_rss_mb].compact.max
      summary = fleet.stop
      @executions += summary.executions
      @in_order &&= summary.in_order
    end

    def phase(name, rounds)
      speeds = %w[linear independent].to_h { |load| ["#{load}_steps_per_s", median(rounds.map(&load.to_sym)).round] }
      phases << { "phase" => name, "steps_before" => rounds.first.steps_before, **speeds, **ratios(speeds) }
      say(phases.last.to_s)
    end

    # To the speeds of the first phase.
    def ratios(speeds)
      empty = phases.first || speeds
      speeds.to_h { |name, speed| ["ratio_#{name.delete_suffix("_steps_per_s")}", speed.fdiv(empty[name]).round(3)] }
    end

    def median(values)
      values.sort.fetch(values.size / 2)
    end

    def problems
      @problems + check.kept(complete: @executed - @pruned, pending: @pending) +
        check.after_soak(executions: @executions, in_order: @in_order, steps: @executed)
    end
  end
end
