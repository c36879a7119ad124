# frozen_string_literal: true

require "etc"
require "tasker_core"
require "tasker_core/cli"
require_relative "../peers"
require_relative "comparison"
require_relative "creation"
require_relative "display"
require_relative "drain"
require_relative "effects"
require_relative "flat"
require_relative "idle"
require_relative "latency"
require_relative "map"
require_relative "numbers"
require_relative "options"
require_relative "report"
require_relative "server"
require_relative "settings"
require_relative "size"
require_relative "soak"
require_relative "workload"

module Bench
  # The command line of bin/bench.
  class Command < TaskerCore::CLI::Command
    include Effects
    include Options
    include Numbers

    PROGRAM = "bin/bench"
    SUMMARY = "measure the engine: steps per second, and what a step costs"
    DETAILS = <<~TEXT.freeze
      Workloads (tasks x steps of each, by default):
      #{Workload::ALL.map { |workload| "    #{workload}" }.join("\n")}

      Handlers do nothing but what --work says, workers run in processes of their own, and Postgres is a private one with stock
      durability that is deleted afterwards. Each run has a database of its own and ends with a check: a step that
      is missing, doubled or out of order ends with exit status 1. The last line of the output is a JSON object,
      for several workloads one line each.

      "flat" is no part of "all": by default it takes about ten minutes and some gigabytes. It measures rounds of
      chains and of independent steps, four of these tasks for each chain, in phases: in empty tables; after so many
      finished steps as --backlog says; with as many pending ones more, of a queue that no worker serves; at the
      begin and the end of --seconds with a transaction open that holds a snapshot, which the doctor must name; when
      that has ended; and while everything that was executed is being deleted. ratio_linear and ratio_independent
      compare the speed of each round with that of one in empty tables right before it (when deleting: after it); the
      CPU time is that of the workers and of all of Postgres. With a --backlog of #{Flat::FULL} or more it ends with exit
      status 1 where one of them is below #{Flat::LEAST["finished"]} in full tables or #{Flat::LEAST["snapshot_end"]} beside the transaction, or none comes
      within #{((1 - Flat::RECOVERED) * 100).round} % of those before it within #{Flat::PATIENCE} s.

      "size" executes the same number of steps in tasks of each size, --steps being the largest, with one task more of each
      that is executed before and not measured. ratio compares the CPU time of a step, of the workers and of all of
      Postgres, with that in the smallest tasks; first_s is how long the first task takes, which reads the template. With
      #{Size::FULL} steps or more it ends with exit status 1 where one of these is exceeded: submit_s #{Size::MOST["submit_s"]},
      peak_rss_mb #{Size::MOST["peak_rss_mb"]}, ratio #{Size::MOST["ratio"]}.

      "idle" counts the transactions of a fleet that has come to rest, which takes #{Idle::REST} seconds more. From #{Idle::SHORTEST} seconds on
      it ends with exit status 1 where they are more than #{Idle::MOST.round} a second, of all processes together.

      "map" makes items of a list of numbers; --items is --steps less the map step and the one below it, which must start
      once, after the last item, and find the results of all. items_per_s is from the first item to the last,
      first_item_s from the claim of the map step to that of the first item.

      Other engines execute the same graphs after each run of ours, with as many threads and processes: --peer
      sidekiq on a Redis of its own (installed where it is missing), --peer apalis, in Rust, on the same Postgres
      (compiled where that is needed). Their jobs keep no results. They can do: #{Peers::WORKLOADS.join(", ")}.
    TEXT
    EXAMPLES = ["bin/bench --workload linear", "bin/bench --workload fan,layered --processes 2 --repeat 3",
                "bin/bench --workload all --json", "bin/bench --workload linear --handler rust --payload 1000",
                "bin/bench --workload linear --work 500 --processes 2", "bin/bench --workload linear --subscribe",
                "bin/bench --workload linear --tasks 10000 --profile",
                "bin/bench --workload idle --seconds 60 --processes 8",
                "bin/bench --workload soak --seconds 1800", "bin/bench --workload flat",
                "bin/bench --workload map --items 100000 --max-parallel 50",
                "bin/bench --workload flat --backlog 2000 --tasks 20 --seconds 2",
                "bin/bench --workload independent,linear,diamond,fan --peer sidekiq,apalis --repeat 5"].freeze

    # What measures a workload.
    RUNS = { drain: Drain, latency: Latency, create: Creation, idle: Idle, soak: Soak, flat: Flat,
             size: Size, map: Map }.freeze
    # Languages that handlers are written in.
    HANDLERS = %w[ruby rust].freeze
    # Option => default, smallest and largest number. Tasks, steps and seconds: the workload's own by default.
    NUMBERS = { tasks: [nil, 1, 10_000_000], steps: [nil, 1, 1_048_576], items: [nil, 1, 1_000_000],
                "max-parallel": [nil, 1, 1_000_000], payload: [0, 0, 1_000_000],
                work: [0, 0, 10_000_000], concurrency: [5, 1, 1_000], processes: [1, 1, 64], repeat: [1, 1, 100],
                seconds: [nil, 1, 86_400], backlog: [1_000_000, 1, 100_000_000] }.freeze
    # Stands for every workload that is measured in seconds.
    ALL = "all"
    # What a URL of a database begins with.
    URL = %r{\Apostgres(ql)?://}.freeze

    # Measures.
    #
    # @return [Integer] exit status
    def call
      check_effects(workloads, all: options[:workload] == [ALL])
      measurements = workloads.map { |workload| settings(workload) }
      repeat = number(:repeat)
      build
      Server.open(url, profile: options.fetch(:profile, false)) do |server|
        check_durability(server)
        place = { **server.to_report, "cores" => Etc.nprocessors, "ruby" => RUBY_VERSION }
        measurements.map { |one| measure(one, repeat, server, place) }.max
      end
    end

    private

    # Unlike other commands this one does not use the database that is configured.
    def parser
      @parser ||= new_parser do |parser|
        define_workload(parser)
        define_fleet(parser)
        define_output(parser)
      end
    end

    def workloads
      refuse("missing --workload: #{allowed_workloads}") unless options.key?(:workload)
      names = names_of(:workload, allowed_workloads)
      return Workload.quick if names == [ALL]

      names.map { |name| Workload.find(name) || refuse("--workload is #{name}; allowed: #{allowed_workloads}") }
    end

    # OptionParser makes no names of "", and nil of what is empty between commas.
    def names_of(option, allowed)
      names = options.fetch(option)
      names.any? && names.all? ? names : refuse("--#{option} has an empty name; allowed: #{allowed}")
    end

    def allowed_workloads
      [*Workload.names, ALL].join(", ")
    end

    def peers
      return [] unless options.key?(:peer)

      alone = (%i[payload work subscribe] & options.keys).first
      refuse("--#{alone} does not go with --peer") if alone
      allowed = Peers::ALL.keys.join(", ")
      @peers ||= names_of(:peer, allowed).uniq.map do |name|
        Peers::ALL.fetch(name) { refuse("--peer is #{name}; allowed: #{allowed}") }
      end
    end

    def settings(workload)
      unless peers.empty? || Peers::WORKLOADS.include?(workload.name)
        refuse("--peer does not go with #{workload.name}; allowed: #{Peers::WORKLOADS.join(", ")}")
      end

      Settings.new(workload: workload, tasks: chosen(:tasks, workload) || workload.tasks, steps: steps(workload),
                   handler: handler(workload), seconds: chosen(:seconds, workload) || workload.seconds,
                   backlog: (number(:backlog) if effective?(:backlog, workload)), subscribe: subscribe(workload),
                   max_parallel: chosen(:"max-parallel", workload),
                   **%i[concurrency processes payload work].to_h { |name| [name, chosen(name, workload)] })
    end

    # A number as given, where that has an effect, else the option's default.
    def chosen(option, workload)
      given = number(option)
      effective?(option, workload) ? given : NUMBERS.fetch(option).first
    end

    # A map step and the one below it are no items.
    def steps(workload)
      items = chosen(:items, workload)
      steps = items ? items + 2 : chosen(:steps, workload) || workload.steps
      return steps if steps >= workload.least

      refuse("--steps is #{steps}; allowed for #{workload.name}: #{workload.least} or more")
    end

    def subscribe(workload)
      return unless options[:subscribe] && effective?(:subscribe, workload)

      refuse("--subscribe is for handlers in ruby only") unless language == HANDLERS.first
      true
    end

    def handler(workload)
      effective?(:handler, workload) ? language : HANDLERS.first
    end

    def language
      language = options.fetch(:handler, HANDLERS.first)
      HANDLERS.include?(language) ? language : refuse("--handler is #{language}; allowed: #{HANDLERS.join(", ")}")
    end

    def url
      url = options[:"database-url"]
      refuse("--profile does not go with --database-url: it needs a server of its own") if url && options[:profile]
      url.nil? || url.match?(URL) ? url : refuse("--database-url must begin with postgres:// or postgresql://")
    end

    # Before anything is measured.
    def build
      peers.each { |peer| prepare(peer) }
      return unless language == "rust"

      tell("building the worker with handlers in Rust, which takes some minutes the first time")
      RustProgram.path
    end

    def prepare(peer)
      tell("preparing #{peer.title}, which takes some minutes the first time")
      peer.prepare
    end

    # Speed that is bought with durability is told apart.
    def check_durability(server)
      doubts = server.doubts
      return if doubts.empty? || options[:"not-durable"]

      refuse("the server may lose in a crash what was committed: #{doubts.join(", ")}; --not-durable measures it all " \
             "the same, or use another server (--database-url) or folder (TMPDIR)")
    end

    def measure(settings, repeat, server, place)
      ours, *theirs = Array.new(repeat) { |run| measure_once(settings, server, run + 1) }.transpose
      comparisons = peers.zip(theirs).map { |peer, results| Comparison.new(peer, results, ours) }
      report = Report.new(settings, ours, place, comparisons)
      Display.new(output, json: json?).show(report)
      report.consistent? ? OK : FAILED
    end

    # Each engine in turn, so that slow moments of the machine hit all of them.
    def measure_once(settings, server, run)
      progress = ->(text) { tell("#{settings.workload.name}, run #{run}: #{text}") }
      [RUNS.fetch(settings.workload.measured), *peers].map do |engine|
        engine.new(settings, server, progress: progress).call
      end
    end

    def tell(text)
      output.note("bench: #{text}") if $stderr.tty?
    end
  end
end
