# frozen_string_literal: true

RSpec.describe TaskerCore::Internal::Http::Hosts do
  subject(:hosts) { described_class.new(clock: -> { @now }) }

  let(:rule) { TaskerCore::Internal::Http::CircuitBreaker::Rule.new(failures: 1, open_seconds: 30) }

  before { @now = 100.0 }

  it "keeps one breaker for each host" do
    hosts.failed("a", rule)

    expect([hosts.wait("a", rule), hosts.wait("b", rule)]).to eq([30.0, nil])
  end

  it "gives one of many threads the probe" do
    hosts.failed("a", rule)
    @now = 130.0
    waits = Array.new(8) { Thread.new { hosts.wait("a", rule) } }.map(&:value)

    expect(waits.tally).to eq(nil => 1, 30.0 => 7)
  end

  it "goes by the rule of who asks" do
    hosts.failed("a", rule)
    patient = TaskerCore::Internal::Http::CircuitBreaker::Rule.new(failures: 1, open_seconds: 60)

    expect([hosts.wait("a", rule), hosts.wait("a", patient)]).to eq([30.0, 60.0])
  end

  it "keeps nothing of hosts that answer" do
    hosts.failed("a", rule)
    hosts.answered("a")
    hosts.answered("b")
    hosts.given_up("c")

    expect(hosts.size).to eq(0)
  end

  it "forgets those that have failed longest ago where there are too many" do
    most = described_class::MOST
    (1..most).each { |number| hosts.failed(number.to_s, rule) }
    @now += 30
    hosts.wait("1", rule)
    hosts.failed("1", rule)
    hosts.failed("another", rule)

    expect([hosts.size, hosts.wait("1", rule), hosts.wait("2", rule)]).to eq([most, 30.0, nil])
  end
end
