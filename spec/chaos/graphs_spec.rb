# frozen_string_literal: true

require_relative "../../chaos/graphs"

RSpec.describe Chaos::Graphs do
  # States of the joins of a task of which these parts fail.
  def joins(*failed)
    allow(Chaos::Behaviour).to receive(:of) do |_, step|
      Chaos::Behaviour.new(failed.include?(step) ? :fails : :succeeds, 0, 0)
    end
    states = described_class.states("joined", 1)
    [described_class.task_state("joined", states),
     *states.values_at(*%w[all_done any_complete none_failed quorum last])]
  end

  it "says how steps end that join others" do
    expect(joins).to eq(["complete"] * 6)
    expect(joins("s3")).to eq(%w[error complete complete pending complete complete])
    expect(joins("s3", "s4")).to eq(%w[error complete complete pending pending complete])
    expect(joins("any_complete")).to eq(%w[error complete error complete complete pending])
    expect(joins(*Chaos::Join::PARTS)).to eq(%w[error complete pending pending pending pending])
  end

  it "says that a failure which every child got over fails no task" do
    expect(described_class.task_state("chain", { "s0" => "complete", "s7" => "complete" })).to eq("complete")
    expect(described_class.task_state("chain",
                                      { "s0" => "error", "s1" => "complete", "s7" => "complete" })).to eq("complete")
    expect(described_class.task_state("chain", { "s7" => "error" })).to eq("error")
  end
end
