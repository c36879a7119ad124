# frozen_string_literal: true

RSpec.describe TaskerCore::Internal::Http::CircuitBreaker do
  let(:rule) { described_class::Rule.new(failures: 2, open_seconds: 30) }
  let(:closed) { described_class::CLOSED }
  let(:open) { closed.failed(10.0, rule).failed(12.0, rule) }
  let(:half_open) { open.sent(50.0) }

  it "opens after as many failures in a row as the rule says" do
    once = closed.failed(10.0, rule)

    expect(once.wait(10.0, rule)).to be_nil
    expect(once.failed(12.0, rule).wait(12.0, rule)).to eq(30.0)
  end

  it "counts anew after an answer" do
    expect(closed.failed(10.0, rule).answered.failed(11.0, rule).wait(11.0, rule)).to be_nil
  end

  it "lets a request through when its time is over, and only one" do
    expect([open.wait(41.5, rule), open.wait(42.0, rule)]).to eq([0.5, nil])
    expect(half_open.wait(51.0, rule)).to eq(29.0)
  end

  it "closes with the answer to the probe" do
    expect(half_open.answered).to be(closed)
  end

  it "opens anew where the probe fails, for the whole time" do
    expect(half_open.failed(55.0, rule).wait(55.0, rule)).to eq(30.0)
  end

  it "sends another probe where the first one brings no answer within its time" do
    expect(half_open.wait(80.0, rule)).to be_nil
    expect(half_open.sent(80.0).wait(81.0, rule)).to eq(29.0)
  end

  it "sends another probe at once where the first one was given up" do
    expect(half_open.given_up.wait(51.0, rule)).to be_nil
  end

  it "is not kept open by a request that was sent before it opened" do
    expect(open.failed(40.0, rule).wait(42.0, rule)).to be_nil
  end

  it "is closed by any answer" do
    expect(open.answered).to be(closed)
  end

  it "forgets nothing by requests that say nothing" do
    once = closed.failed(10.0, rule)

    expect([once.given_up, once.sent(11.0), open.given_up]).to eq([once, once, open])
  end
end
