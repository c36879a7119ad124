# frozen_string_literal: true

require "tasker_core/internal/interval"

RSpec.describe TaskerCore::Internal::Interval do
  def at(seconds)
    allow(TaskerCore::Internal::Clock).to receive(:seconds).and_return(seconds)
  end

  it "is due once each time" do
    at(100.0)
    interval = described_class.new(5)
    seen = [104.0, 105.0, 106.0, 112.5, 113.0].map { |now| at(now) && interval.due? }

    expect(seen).to eq([false, true, false, true, false])
  end

  it "knows how long it is until then" do
    at(100.0)
    interval = described_class.new(5)

    expect([100.0, 103.0, 107.0].map { |now| at(now) && interval.left }).to eq([5.0, 2.0, 0.0])
  end

  it "is never due without a time" do
    expect([described_class.new(nil).due?, described_class.new(nil).left]).to eq([false, nil])
  end
end
