# frozen_string_literal: true

require_relative "old_snapshot"
require_relative "pruning"
require_relative "run"

module Bench
  # The same rounds of work in empty tables, in full ones, while a transaction keeps dead rows, and while all that has
  # ended is deleted: what a step costs may depend on none but the last. All rounds are in one database, so each finds
  # what the rounds before it left as well, and autovacuum comes when it wants to.
  class Flat < Run
    # The workloads of which a round is made.
    LOADS = %w[linear independent].freeze
    # Rounds in a phase; the median counts.
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

    # Of the execution of a load. The CPU time is that of the workers and of all of Postgres, autovacuum as well; nil
    # where the system does not say.
    Cost = Struct.new(:steps_per_s, :cpu_us_per_step)
    # The cost of each load, and how many steps the tables held before.
    Round = Struct.new(:linear, :independent, :steps_before)
    private_constant :Cost, :Round

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
      execute(settings_for("linear", settings.backlog.fdiv(settings.steps).ceil, settings.steps))
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
      some = [settings_for("linear", (half / settings.steps).ceil, settings.steps),
              settings_for("independent", half.ceil, 1)]
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
      LOADS.all? do |load|
        @round[load].steps_per_s >= before.fetch("#{load}_steps_per_s") * RECOVERED
      end
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
      @round = Round.new(execute(settings_for("linear", settings.tasks, settings.steps)),
                         execute(settings_for("independent", settings.tasks * INDEPENDENT, 1)), before)
    end

    def settings_for(name, tasks, steps)
      Settings.new(**settings.to_h, workload: Workload.find(name), tasks: tasks, steps: steps)
    end

    # Makes the tasks, then lets workers execute them.
    #
    # @return [Cost] from the first worker's registration on, as the search for claims may take time
    def execute(load)
      connected { |client| create(client, load) }
      say("executing #{load.total_steps} steps")
      Fleet.open(settings, url) do |fleet|
        meter = Meter.new(server) { fleet.cpu_seconds }
        meter.measure do
          fleet.begin
          fleet.wait_for(load.total_steps)
        end
        cost(meter, load.total_steps).tap { note(fleet, load.total_steps) }
      end
    end

    def cost(meter, steps)
      seconds = meter.stopped_at - ask(RecordQueries::FIRST_WORKER).getvalue(0, 0).to_f
      cpu = [meter.engine_cpu, meter.postgres_cpu]
      Cost.new(steps / seconds, (cpu.sum * Meter::MICRO / steps if cpu.all?))
    end

    def note(fleet, steps)
      @executed += steps
      @peak_rss_mb = [@peak_rss_mb, fleet.peak_rss_mb].compact.max
      summary = fleet.stop
      @executions += summary.executions
      @in_order &&= summary.in_order
    end

    def phase(name, rounds)
      speeds, cpu = Cost.members.map { |measure| medians(rounds, measure) }
      phases << { "phase" => name, "steps_before" => rounds.first.steps_before, **speeds, **ratios(speeds), **cpu }
      say(phases.last.to_s)
    end

    def medians(rounds, measure)
      LOADS.to_h do |load|
        values = rounds.map { |round| round[load][measure] }
        ["#{load}_#{measure}", (values.sort.fetch(values.size / 2).round if values.all?)]
      end
    end

    # To the speeds of the first phase.
    def ratios(speeds)
      empty = phases.first || speeds
      speeds.to_h { |name, speed| ["ratio_#{name.delete_suffix("_steps_per_s")}", speed.fdiv(empty[name]).round(3)] }
    end

    def problems
      @problems + check.kept(complete: @executed - @pruned, pending: @pending) +
        check.after_soak(executions: @executions, in_order: @in_order, steps: @executed)
    end
  end
end
