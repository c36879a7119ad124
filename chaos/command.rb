# frozen_string_literal: true

require "tasker_core"
require "tasker_core/cli"
require_relative "../bench/engine/numbers"
require_relative "display"
require_relative "faults"
require_relative "recovery"
require_relative "run"

module Chaos
  # The command line of bin/chaos.
  class Command < TaskerCore::CLI::Command
    include Bench::Numbers

    PROGRAM = "bin/chaos"
    SUMMARY = "run the engine under faults, and check that nothing was lost or done twice"
    DETAILS = <<~TEXT.freeze
      Tasks are made, executed and cancelled all the time while worker processes are killed and stopped, Postgres
      crashes, and connections are cut or fall silent. Then the faults end, everything that is open has to come to its
      end, and a check compares the engine's tables with a ledger in which handlers recorded what they did.

      Faults: #{Faults::ALL.keys.each_slice(8).map { |names| names.join(", ") }.join(",\n")}.

      The seed decides which tasks are made and which fault comes when. Real processes on a real machine do not repeat
      themselves: a second run with the same seed has the same schedule, not the same course.

      Postgres is a private one with stock durability that is deleted afterwards. Workers have two seconds to live
      without a heartbeat. The last line of the output is a JSON object; each violation is a line on the error stream,
      and one is enough for exit status 1.

      --recovery measures instead how long it takes until work goes on: the next attempt of a step whose worker was
      killed (--kills in all, up to --share of the fleet at a time), the first change after Postgres crashed; and that
      workers that are asked to end lose no attempt. Here workers live as long as by default.
    TEXT
    EXAMPLES = ["bin/chaos --minutes 2", "bin/chaos --minutes 60 --processes 4 --seed 7",
                "bin/chaos --minutes 0.5 --faults kill,cut_after_commit", "bin/chaos --recovery --kills 200",
                "bin/chaos --recovery --kills 20 --dead-after 2"].freeze
    # Option => default, smallest and largest number.
    NUMBERS = { minutes: [2.0, 0.05, 1_440.0], processes: [nil, 1, 32], rate: [4.0, 0.1, 1_000.0],
                seed: [nil, 0, (2**32) - 1], kills: [20, 1, 10_000], "dead-after": [6.0, 0.3, 600.0],
                share: [0.34, 0.01, 0.9] }.freeze
    # Worker processes by default, where faults happen and where recovery is measured.
    PROCESSES = { run: 3, recovery: 6 }.freeze

    # Runs and shows what came out.
    #
    # @return [Integer] exit status
    def call
      display = Display.new(output, json: json?)
      report = options[:recovery] ? recover(display) : run_faults(display)
      display.show(report)
      report.fetch("violations").zero? ? OK : FAILED
    end

    private

    # Unlike other commands this one does not use the database that is configured.
    def parser
      @parser ||= new_parser do |parser|
        parser.on("--minutes M", Float, "how long faults happen (default: 2)")
        parser.on("--seed S", Integer, "decides which fault comes when (default: a random one)")
        parser.on("--processes P", Integer, "worker processes (default: 3; for --recovery 6)")
        parser.on("--faults A,B", Array, "only these (default: all)")
        parser.on("--rate R", Float, "tasks that are made in a second (default: 4)")
        parser.on("--recovery", "measure how long it takes until work goes on")
        parser.on("--kills N", Integer, "workers that are killed for that (default: 20)")
        parser.on("--share X", Float, "of the fleet that is killed at a time (default: 0.34)")
        parser.on("--dead-after S", Float, "seconds that they live without a heartbeat (default: 6)")
        parser.on("--json", "print the JSON line only")
      end
    end

    def run_faults(display)
      settings = Run::Settings.new(seconds: number(:minutes) * 60, seed: number(:seed) || (Random.new_seed % (2**32)),
                                   processes: processes(:run), rate: number(:rate), faults: faults - missing.keys)
      display.begin(format("seed %<seed>d, %<seconds>d s, %<processes>d worker processes, %<rate>.1f tasks/s",
                           settings.to_h.slice(:seed, :seconds, :processes, :rate)), left_out)
      Run.new(settings, progress: display.method(:tell)).call
    end

    def recover(display)
      settings = Recovery::Settings.new(kills: number(:kills), share: number(:share), processes: processes(:recovery),
                                        dead_after: number(:"dead-after"))
      display.begin("#{settings.kills} workers are killed, #{settings.processes} at work", {})
      Recovery.new(settings, progress: display.method(:tell)).call
    end

    def processes(kind)
      number(:processes) || PROCESSES.fetch(kind)
    end

    def faults
      @faults ||= options.fetch(:faults, Faults::ALL.keys).uniq.each do |name|
        refuse("--faults is #{name}; allowed: #{Faults::ALL.keys.join(", ")}") unless Faults::ALL.key?(name)
      end
    end

    def missing
      Faults.missing.slice(*faults)
    end

    def left_out
      return missing if Pooler.installed?

      missing.merge("a pooler" => "PgBouncer is not installed")
    end
  end
end
