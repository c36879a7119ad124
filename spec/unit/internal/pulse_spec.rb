# frozen_string_literal: true

require "tasker_core/internal/pulse"

RSpec.describe TaskerCore::Internal::Pulse do
  let(:pulse) { described_class.new(0.01) }
  let(:looks) { described_class::BEATS }

  after { pulse.close }

  # Looks as often as it is time to; yields before each look.
  def look(times, pids = [Process.pid])
    Array.new(times) do
      sleep(0.001) while pulse.left.positive?
      yield if block_given?
      pulse.silent(pids)
    end
  end

  it "finds who does not beat, once that is missed often enough" do
    expect(look(looks + 2)).to eq(([[]] * looks) + ([[Process.pid]] * 2))
  end

  it "finds nobody who beats, and not who has begun to again" do
    expect(look(looks * 2) { pulse.beat }.flatten).to eq([])
    expect(look(looks + 1).last).to eq([Process.pid])
    pulse.beat
    expect(look(looks).flatten).to eq([])
  end

  it "counts for each child since when it is looked for" do
    look(looks, [1])
    expect(look(1, [1, 2])).to eq([[1]])
    expect(look(looks, [2]).flatten).to eq([2])
  end

  it "does not count time in which nobody looked" do
    look(looks)
    sleep(0.05)
    expect(pulse.silent([Process.pid])).to eq([Process.pid])
    pulse.beat
    look(1)
    sleep(0.05)
    expect(pulse.silent([Process.pid])).to eq([])
  end

  it "looks at nobody before it is time to" do
    slow = described_class.new(3_600)
    expect([slow.silent([1]), slow.left]).to match([[], be_between(300, 360)])
  ensure
    slow.close
  end

  it "is not held up where nobody reads" do
    20_000.times { pulse.beat }
    expect(look(1)).to eq([[]])
  end
end
