# frozen_string_literal: true

RSpec.describe TaskerCore::Internal::WorkerOptions do
  def native(**given)
    configuration = TaskerCore::Configuration.new(env: {}).with { |c| c.connect_timeout = 1.5 }
    JSON.parse(described_class.new(**given).native_json("postgres:///x", configuration))
  end

  it "fills in what was not given" do
    expect(native).to eq(
      "url" => "postgres:///x", "connect_timeout_ms" => 1_500, "encryption_keys" => [],
      "queues" => nil, "concurrency" => 5,
      "heartbeat_interval_ms" => 2_000, "dead_after_ms" => 6_000,
      "retention_ms" => 1_209_600_000, "error_retention_ms" => 7_776_000_000, "record_events" => 0,
      "max_results_bytes" => 1_048_576
    )
  end

  it "passes on what was given, times in milliseconds" do
    given = { concurrency: 2, queues: %w[a b], heartbeat_interval: 0.25, dead_after: 1, retention: 3,
              error_retention: nil }

    expect(native(**given)).to include("concurrency" => 2, "queues" => %w[a b], "heartbeat_interval_ms" => 250,
                                       "dead_after_ms" => 1_000, "retention_ms" => 3_000,
                                       "error_retention_ms" => nil)
  end

  {
    concurrency: [0, -1, 1_001, 2.0, "5", nil], queues: [[], "a", [""], [:a], [nil]],
    shutdown_timeout: [-1, "1", nil, Float::NAN, Float::INFINITY, Complex(1, 1)], heartbeat_interval: [0, 601],
    dead_after: [3.9, 0, 4_000], retention: [-1, "14d", Float::NAN, 1e12], error_retention: [-1, false]
  }.each do |name, values|
    values.each do |value|
      it "refuses #{name}: #{value.inspect} and says what is allowed" do
        expect { described_class.new(name => value) }
          .to raise_error(TaskerCore::ConfigurationError, /\A#{name} is #{Regexp.escape(value.inspect)}, allowed is /)
      end
    end
  end

  century = 100 * 365 * 86_400
  {
    concurrency: [[1, 1_000], [0, 1_001]], max_results_bytes: [[1_024, 67_108_864], [1_023, 67_108_865]],
    retention: [[0, century], [-1, century + 1]], error_retention: [[0, century], [-1, century + 1]]
  }.each do |name, (taken, refused)|
    it "takes #{name} of #{taken.join(" to ")}, and not one more or less" do
      expect(taken.map { |value| described_class.new(name => value).values.fetch(name) }).to eq(taken)
      refused.each do |value|
        expect { described_class.new(name => value) }
          .to raise_error(TaskerCore::ConfigurationError, /\A#{name} is #{value}, allowed is .* to #{taken.last}/)
      end
    end
  end

  it "refuses an option that does not exist and says what is near" do
    expect { described_class.new(concurency: 5) }
      .to raise_error(TaskerCore::ConfigurationError,
                      'a worker has no option :concurency; did you mean "concurrency"?')
  end

  it "is frozen" do
    expect(described_class.new).to be_frozen
  end
end
