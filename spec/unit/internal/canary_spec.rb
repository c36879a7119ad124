# frozen_string_literal: true

require "tasker_core/internal/canary"

RSpec.describe TaskerCore::Internal::Canary do
  def decision(*states, elapsed: 1, watch: 60, tolerate: 0)
    described_class.new(watch: watch, tolerate: tolerate).verdict(states, elapsed).decision
  end

  it "waits while steps are open" do
    expect(decision("complete", "in_progress")).to eq(:wait)
    expect(decision("enqueued", "waiting_for_retry")).to eq(:wait)
  end

  it "goes on when all have ended, however they did" do
    expect(decision("complete", "complete")).to eq(:go_on)
    expect(decision("complete", "skipped", "cancelled", "resolved_manually")).to eq(:go_on)
  end

  it "stops as soon as more failed again than may" do
    expect(decision("error", "in_progress")).to eq("1 of 2 failed again")
    expect(decision("blocked", "error", "complete", tolerate: 1)).to eq("2 of 3 failed again")
    expect(decision("error", "in_progress", tolerate: 1)).to eq(:wait)
    expect(decision("error", "complete", tolerate: 1)).to eq(:go_on)
  end

  it "goes on at the end of the time when something is known, and stops when nothing is" do
    expect(decision("complete", "in_progress", elapsed: 60)).to eq(:go_on)
    expect(decision("in_progress", "enqueued", elapsed: 60)).to match(/none of 2 has ended after 60 s/)
  end

  it "counts a step that waits for another attempt as failed at the end of the time" do
    expect(decision("waiting_for_retry", "complete", elapsed: 59)).to eq(:wait)
    expect(decision("waiting_for_retry", "complete", elapsed: 60)).to eq("1 of 2 failed again")
  end

  it "counts each step once" do
    states = %w[complete error waiting_for_retry in_progress blocked pending cancelled]
    [0, 60].each do |elapsed|
      verdict = described_class.new(watch: 60, tolerate: 9).verdict(states, elapsed)
      expect(verdict.complete + verdict.failed + verdict.open).to eq(states.size)
    end
  end
end
