# frozen_string_literal: true

require_relative "figures"
require_relative "old_snapshot"
require_relative "pruning"
require_relative "rounds"
require_relative "run"

module Bench
  # The same rounds of work in empty tables, in full ones, while a transaction keeps dead rows, and while all that has
  # ended is deleted: what a step costs may depend on none but the last. The machine is not equally fast at all times,
  # so each round comes after one of a database that holds nothing but such rounds, on the same server, and is compared
  # with that.
  class Flat < Run
    include Figures

    # Rounds in a phase, in each of the two databases; the median counts.
    ROUNDS = 5
    # A queue that workers do not serve.
    LATER = "later"
    # Finished and pending steps from which on the limits hold: rounds in small tables say nothing.
    FULL = 1_000_000
    # Phase => part of the speed in empty tables that is to be reached in it.
    LEAST = { "finished" => 0.9, "pending" => 0.9, "snapshot_begin" => 0.75, "snapshot_end" => 0.75 }.freeze
    # Part of the transaction's time after which the doctor must name it.
    OLD = 0.5
    # Part of the ratio before the transaction at which the engine has recovered from it.
    RECOVERED = 0.9
    # Seconds after which it is no longer waited for that.
    PATIENCE = 120

    private

    # A round in the full tables, and the one in empty tables beside it.
    Pair = Struct.new(:full, :empty) do
      # @param load [String]
      # @return [Float] speed in full tables as part of that in empty ones
      def ratio(load)
        full[load].steps_per_s / empty[load].steps_per_s
      end
    end
    private_constant :Pair

    attr_reader :phases, :full

    def parts
      { "phases" => phases }
    end

    def measure
      @phases = []
      @problems = []
      @pruned = 0
      @full = rounds_in(url)
      seconds = timed { go_through_phases }
      { "total_s" => seconds, "peak_rss_mb" => full.peak_rss_mb, "size_mb" => size_mb, "recovery_s" => @recovery_s,
        "pruned_rows_per_s" => @pruned_rows_per_s }
    end

    def go_through_phases
      phase("empty", in_turns)
      full.execute("linear", chains(settings.backlog), settings.steps)
      phase("finished", in_turns)
      leave_pending
      phase("pending", in_turns)
      hold_snapshot
      @recovery_s = recover
      phase("recovered", in_turns)
      prune_beside_rounds
    end

    # Half of the steps are in chains, of which the first can be executed; the others all can.
    def leave_pending
      half = settings.backlog / 2.0
      full.leave("linear", chains(half), settings.steps, queue: LATER)
      full.leave("independent", half.ceil, 1, queue: LATER)
    end

    def chains(steps)
      (steps / settings.steps.to_f).ceil
    end

    # The doctor reads all tables, so it is asked when nothing is measured.
    def hold_snapshot
      OldSnapshot.hold(url) do |snapshot|
        work_for(settings.seconds) { phase("snapshot_begin", in_turns) }
        phase("snapshot_end", in_turns)
        say("asking the doctor")
        report = connected { |client| client.doctor(old_transaction: settings.seconds * OLD) }
        @problems += snapshot.problems(report)
      end
    end

    # So many seconds in all: the block, and rounds in the full tables only.
    def work_for(seconds)
      started = TaskerCore::Internal::Clock.seconds
      yield
      full.round while TaskerCore::Internal::Clock.seconds - started < seconds
    end

    # Rounds in empty tables would be slow beside it as well, so they come after it.
    def prune_beside_rounds
      rounds = connected do |client|
        beside = []
        pruning = Pruning.beside(client) { beside = Array.new(ROUNDS) { full.round } }
        @pruned = pruning.steps
        @pruned_rows_per_s = pruning.rows_per_s
        beside
      end
      phase("pruning", in_empty_tables { |empty| rounds.map { |round| Pair.new(round, empty.round) } })
    end

    # Seconds until a round ended that was nearly as fast, compared with empty tables, as those before the transaction;
    # nil: none was.
    def recover
      before = phases.find { |phase| phase.fetch("phase") == "pending" }
      started = TaskerCore::Internal::Clock.seconds
      in_empty_tables do |empty|
        loop do
          recovered = recovered?(pair(empty), before)
          seconds = TaskerCore::Internal::Clock.seconds - started
          break (seconds if recovered) if recovered || seconds > PATIENCE
        end
      end
    end

    def recovered?(pair, before)
      Rounds::LOADS.all? { |load| pair.ratio(load) >= before.fetch("ratio_#{load}") * RECOVERED }
    end

    def in_turns
      in_empty_tables { |empty| Array.new(ROUNDS) { pair(empty) } }
    end

    def pair(empty)
      beside = empty.round
      Pair.new(full.round, beside)
    end

    # The database is a new one each time, as its own rounds fill it.
    def in_empty_tables
      server.with_database do |url, _|
        empty = rounds_in(url)
        yield(empty).tap { @problems += empty.problems }
      end
    end

    def rounds_in(url)
      Rounds.new(settings, server, url, progress: method(:say))
    end

    def phase(name, pairs)
      speeds, cpu = Rounds::Cost.members.map { |measure| medians(pairs, measure) }
      ratios = Rounds::LOADS.to_h { |load| ["ratio_#{load}", median(pairs.map { |pair| pair.ratio(load) }).round(3)] }
      phases << { "phase" => name, "steps_before" => pairs.first.full.steps_before, **speeds, **ratios, **cpu }
      say(phases.last.to_s)
    end

    def medians(pairs, measure)
      Rounds::LOADS.to_h { |load| ["#{load}_#{measure}", median(pairs.map { |pair| pair.full[load][measure] })&.round] }
    end

    def problems
      @problems + full.problems(pruned: @pruned) + (settings.backlog < FULL ? [] : slow + not_recovered)
    end

    def slow
      phases.product(Rounds::LOADS).filter_map do |phase, load|
        name = phase.fetch("phase")
        ratio = phase.fetch("ratio_#{load}")
        least = LEAST.fetch(name, 0)
        "ratio_#{load} is #{ratio} in the phase #{name}; allowed: #{least} or more" if ratio < least
      end
    end

    def not_recovered
      return [] if @recovery_s

      ["no round within #{PATIENCE} s after the transaction was as fast as #{RECOVERED} of those before it"]
    end
  end
end
