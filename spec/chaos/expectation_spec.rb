# frozen_string_literal: true

require_relative "play"

RSpec.describe Chaos::Expectation do
  # States of the joins of a task of which these parts fail, after the task's.
  def joins(*failed)
    allow(Chaos::Behaviour).to receive(:of) do |_, step|
      Chaos::Behaviour.new(failed.include?(step) ? :fails : :succeeds, 0, 0)
    end
    expectation = described_class.new(Chaos::Play.new("joined", 1).record)
    [expectation.task_state, *expectation.states.values_at(*%w[all_done any_complete none_failed quorum last])]
  end

  it "says how steps end that join others" do
    expect(joins).to eq(["complete"] * 6)
    expect(joins("s3")).to eq(%w[error complete complete pending complete complete])
    expect(joins("s3", "s4")).to eq(%w[error complete complete pending pending complete])
    expect(joins("any_complete")).to eq(%w[error complete error complete complete pending])
    expect(joins(*Chaos::Join::PARTS)).to eq(%w[error complete pending pending pending pending])
  end

  # Names of the branches that are taken => states of b0, b1, b2, merge and any.
  { [] => %w[skipped skipped skipped skipped skipped], ["b1"] => %w[skipped complete skipped complete complete] }
    .each do |taken, states|
    it "says how steps end where #{taken.inspect} is taken" do
      allow(Chaos::Branches).to receive(:taken) { |_, step| taken if step == "route" }
      record = Chaos::Play.new("routed", 1).record
      expect(described_class.new(record).states.values_at(*%w[b0 b1 b2 merge any])).to eq(states)
    end
  end

  it "says how steps end one of which has a condition that cannot be told" do
    allow(Chaos::Behaviour).to receive(:of).and_return(Chaos::Behaviour.new(:succeeds, 0, 0))
    allow(Chaos::Branches).to receive(:taken) { |_, step| ["b1"] if step == "route" }
    expectations = [3, 4].map { |seed| described_class.new(Chaos::Play.new("routed", seed).record) }
    expect(expectations.map { |one| [one.task_state, *one.states.values_at("doubtful", "certain", "despite")] })
      .to eq([%w[error error pending complete], %w[complete complete complete complete]])
  end

  it "says how a task ends that somebody rejects" do
    record = Chaos::Play.of("approved") { |one| one.state == "complete" }
    step = record.step("decision")
    step.executions.last.product = { "decision" => { "approved" => false } }
    step.transitions.last.outcome = "permanent"
    expectation = described_class.new(record)
    expect([expectation.task_state, *expectation.states.values_at("decision", "granted", "settled")])
      .to eq(%w[error error pending complete])
  end

  it "lets a task complete of whose items some failed" do
    allow(Chaos::Behaviour).to receive(:of) do |_, step|
      Chaos::Behaviour.new(step == "each[0]" ? :fails : :succeeds, 0, 0)
    end
    expectation = described_class.new(Chaos::Play.new("mapped", 1).record)
    expect(expectation.states).to include("each[0]" => "error", "each" => "complete", "reduced" => "complete")
    expect(expectation.task_state).to eq("complete")
  end
end
