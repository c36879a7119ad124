# frozen_string_literal: true

RSpec.describe TaskerCore::RetryableError do
  it "says in how many seconds the next attempt may start" do
    now = Time.utc(2026, 1, 31, 12, 0, 0)
    error = described_class.new("busy", retry_after: "Sat, 31 Jan 2026 12:02:00 GMT")

    expect(error.retry_after_seconds(now: now)).to eq(120.0)
    expect(error.retry_after_seconds(now: now + 200)).to eq(0.0)
    expect(described_class.new("busy").retry_after_seconds).to be_nil
  end

  [-1, Float::NAN, :soon, "in a while", Object.new].each do |retry_after|
    it "is raised all the same with #{retry_after.class} #{retry_after.inspect[0, 10]}, and says what is wrong" do
      expect { raise described_class.new("busy", retry_after: retry_after) }.to raise_error(described_class) { |error|
        expect(error.message).to match(/\Abusy \(retry_after is .*, which is neither seconds .* policy decides\)\z/)
        expect(error).to have_attributes(retry_after: be(retry_after), retry_after_seconds: nil)
      }
    end
  end

  it "names its class where there is no message for what is wrong" do
    expect(described_class.new(retry_after: :soon).message)
      .to start_with("TaskerCore::RetryableError (retry_after is :soon")
  end

  it "keeps message and context" do
    expect(described_class.new("busy", context: { "shard" => 3 }))
      .to have_attributes(message: "busy", context: { "shard" => 3 }, retry_after: nil, code: :retryable)
  end

  it "can be raised without a message" do
    expect { raise described_class }.to raise_error(described_class, "TaskerCore::RetryableError")
  end

  it "keeps an error code as text" do
    expect(described_class.new("busy", error_code: :LIMIT).error_code).to eq("LIMIT")
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
      .to have_attributes(message: "ask somebody", context: { "who" => "ops" }, code: :blocked, error_code: nil)
    expect(described_class.new("ask somebody", error_code: 7).error_code).to eq("7")
  end
end
