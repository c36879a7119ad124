# frozen_string_literal: true

require_relative "../peers"

module Bench
  # The options of bin/bench, for a parser.
  module Options
    private

    def define_workload(parser)
      parser.on("--workload A,B", Array, "what to measure; required; \"all\" for all but flat, each with the",
                "options that have an effect on it")
      parser.on("--tasks N", Integer, "tasks (default: see above)")
      parser.on("--steps N", Integer, "steps of each task (default: see above)")
      parser.on("--items N", Integer, "items of each task of map (default: 100000)")
      parser.on("--max-parallel N", Integer, "items of map that may run at a time (default: all)")
      parser.on("--payload BYTES", Integer, "size of each handler's results (default: 0, a small hash)")
      parser.on("--seconds N", Integer, "how long idle (default: 30) and soak (default: 10) last, or the",
                "open transaction of flat (default: 120)")
      parser.on("--backlog N", Integer, "finished and pending steps of flat (default: 1000000)")
    end

    def define_fleet(parser)
      parser.on("--handler LANGUAGE", "ruby or rust (default: ruby)")
      parser.on("--work MICROSECONDS", Integer, "CPU time of each handler (default: 0)")
      parser.on("--concurrency THREADS", Integer, "handler threads in each process (default: 5)")
      parser.on("--processes P", Integer, "worker processes (default: 1)")
      parser.on("--subscribe", "a subscriber to every event in each process, for workloads that are drained")
      parser.on("--peer A,B", Array, "measure these beside it: #{Peers::ALL.keys.join(", ")} (default: none)")
    end

    def define_output(parser)
      parser.on("--repeat R", Integer, "runs of each workload; the median counts (default: 1)")
      parser.on("--profile", "tell what each statement took, most first, from pg_stat_statements; with",
                "the private server only")
      parser.on("--json", "print the JSON lines only")
      parser.on("--database-url URL", "server to use, with a new database that is dropped afterwards",
                "(default: a private one)")
      parser.on("--not-durable", "measure also where a crash of the server may lose what was committed")
    end
  end
end
