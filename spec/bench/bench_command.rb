# frozen_string_literal: true

require "stringio"
require_relative "../../bench/engine/command"

# Runs bin/bench in this process, on the server of the specs.
module BenchCommand
  # @param words [Array<String>] arguments
  # @param url [String, nil] nil: a server of its own
  # @param durable [Boolean] whether it must be durable; that of the specs may be in memory
  # @return [CommandLine::Outcome]
  def bench(*words, url: TestServer.url, durable: false)
    out, err = Array.new(2) { StringIO.new }
    output = TaskerCore::CLI::Output.new(out: out, err: err)
    words += ["--database-url", url] if url
    words << "--not-durable" unless durable
    status = TaskerCore::CLI::Failure.new(output, program: "bench").guard do
      Bench::Command.new(output: output).run(words)
    end
    CommandLine::Outcome.new(out.string, err.string, status)
  end

  # @param outcome [CommandLine::Outcome] of a run with --json
  # @return [Array<Hash{String => Object}>]
  def reports(outcome)
    outcome.out.lines.map { |line| JSON.parse(line) }
  end
end
