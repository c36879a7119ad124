# frozen_string_literal: true

require "stringio"
require_relative "../../chaos/command"

RSpec.describe "bin/chaos" do
  include CommandLine

  def chaos(*words)
    out, err = Array.new(2) { StringIO.new }
    output = TaskerCore::CLI::Output.new(out: out, err: err)
    status = TaskerCore::CLI::Failure.new(output, program: "chaos").guard do
      Chaos::Command.new(output: output).run(words)
    end
    CommandLine::Outcome.new(out.string, err.string, status)
  end

  def run(faults, seconds:)
    settings = Chaos::Run::Settings.new(seconds: seconds, seed: RSpec.configuration.seed, processes: 2, rate: 3.0,
                                        faults: faults, gap: 0.3..0.5)
    Chaos::Run.new(settings).call
  end

  it "finds nothing wrong after each fault happened", timeout: 300 do
    faults = Chaos::Faults::ALL.keys - Chaos::Faults.missing.keys
    # What comes last has time to begin late.
    report = run(faults, seconds: (faults.size * 0.5) + 2)
    expect(report).to include("violations" => 0, "kinds" => {}, "found" => [])
    expect(report.fetch("faults").keys).to match_array(faults)
    # How many depends on how long the client was without an answer.
    expect(report.fetch("acknowledged")).to be_positive
  end

  it "finds what was done behind the engine's back" do
    allow(Chaos::Records).to receive(:new).and_wrap_original do |original, server, asked|
      server.rows("DELETE FROM tasker_workflow_step_transitions WHERE to_state = 'complete'")
      original.call(server, asked)
    end
    report = run(["term"], seconds: 1)
    expect(report.fetch("violations")).to be > 1
    expect(report.fetch("kinds")).to include("it is complete and was completed N times")
    expect(report.fetch("kinds").values.sum).to eq(report.fetch("violations"))
    expect(report.fetch("found")).to include(/task \d+, step \d+ \(\S+\): it is complete and was completed 0 times/)
  end

  it "shows what happened, and ends with a line for programs" do
    outcome = chaos(*%w[--minutes 0.05 --faults kill,cut --processes 1 --seed 5])
    left_out = Chaos::Pooler.installed? ? "" : start_with("chaos: without a pooler: PgBouncer is not installed")
    expect([outcome.err, outcome.status]).to match([left_out, 0])
    expect(outcome.out.lines.first).to eq("seed 5, 3 s, 1 worker processes, 4.0 tasks/s\n")
    expect(JSON.parse(outcome.out.lines.last)).to include("seed" => 5, "violations" => 0)
  end

  it "measures how long it takes until work goes on", timeout: 240 do
    stub_const("Chaos::Recovery::RESTARTS", 1)
    stub_const("Chaos::Recovery::TERMS", 1)
    stub_const("Chaos::Recovery::STEP_SECONDS", 1)
    outcome = chaos(*%w[--recovery --kills 2 --dead-after 1 --processes 3 --json])
    expect([outcome.err, outcome.status]).to eq(["", 0])
    expect(outcome.json).to include("kills" => 2, "attempts_lost_by_term" => 0, "p99_s" => be_between(0.1, 5))
  end

  { %w[--minutes 0] => "--minutes is 0.0; allowed: 0.05 to 1440.0",
    %w[--faults kill,flood] => "--faults is flood; allowed: kill, stop, term",
    %w[--recovery --kills 0] => "--kills is 0; allowed: 1 to 10000" }.each do |words, message|
    it "refuses #{words.join(" ")}" do
      outcome = chaos(*words)
      expect([outcome.status, outcome.err]).to match([2, start_with("chaos: #{message}")])
    end
  end
end
