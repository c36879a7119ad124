# frozen_string_literal: true

RSpec.describe TaskerCore::RetryableError do
  let(:now) { Time.utc(2026, 1, 31, 12, 0, 0) }

  def seconds(retry_after)
    described_class.new("busy", retry_after: retry_after).retry_after_seconds(now: now)
  end

  {
    nil => nil, 0 => 0.0, 30 => 30.0, 1.5 => 1.5, Rational(1, 2) => 0.5,
    "120" => 120.0, " 7 " => 7.0, "0.5" => 0.5, "soon" => nil, "" => nil, "-5" => nil, "1e9" => nil,
    "Sat, 31 Jan 2026 12:02:00 GMT" => 120.0, "Sat, 31 Jan 2026 11:00:00 GMT" => 0.0, "\xFF" => nil
  }.each do |retry_after, expected|
    it "reads #{retry_after.inspect} as #{expected.inspect} seconds" do
      expect(seconds(retry_after)).to eq(expected)
    end
  end

  it "reads a moment as the seconds until then, none when it has passed" do
    expect([seconds(now + 90), seconds(now - 90)]).to eq([90.0, 0.0])
  end

  [-1, Float::INFINITY, Float::NAN, :soon, [1], Object.new].each do |retry_after|
    it "refuses #{retry_after.class} #{retry_after.inspect[0, 10]} where it is raised, naming what was given" do
      expect { described_class.new("busy", retry_after: retry_after) }
        .to raise_error(TaskerCore::InvalidArgument, /retry_after must be .*#{Regexp.escape(retry_after.inspect)}/)
    end
  end

  it "keeps message and context" do
    expect(described_class.new("busy", context: { "shard" => 3 }))
      .to have_attributes(message: "busy", context: { "shard" => 3 }, retry_after: nil, code: :retryable)
  end

  it "can be raised without a message" do
    expect { raise described_class }.to raise_error(described_class, "TaskerCore::RetryableError")
  end
end

RSpec.describe TaskerCore::PermanentError do
  it "keeps an error code as text" do
    expect(described_class.new("stolen", error_code: :CARD_STOLEN).error_code).to eq("CARD_STOLEN")
    expect(described_class.new("stolen").error_code).to be_nil
  end

  it "may not be tried again" do
    expect(described_class.new.retryable?).to be(false)
  end
end

RSpec.describe TaskerCore::BlockedError do
  it "keeps message and context" do
    expect(described_class.new("ask somebody", context: { "who" => "ops" }))
      .to have_attributes(message: "ask somebody", context: { "who" => "ops" }, code: :blocked)
  end
end
