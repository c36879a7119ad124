# frozen_string_literal: true

RSpec.describe TaskerCore::Internal::Check do
  def refusal(key)
    raise_error(TaskerCore::InvalidArgument) { |error|
      expect(error.message).to match(/\A#{Regexp.escape(key)} is .*, allowed: /)
      expect(error.details.keys).to eq(%w[key value allowed])
    }
  end

  describe ".id" do
    [1, (2**63) - 1].each { |id| it("accepts #{id}") { expect(described_class.id(id)).to eq(id) } }

    [0, -1, 2**63, 1.0, "1", nil, :a, [1], "\xFF"].each do |id|
      it("refuses #{id.inspect}") { expect { described_class.id(id) }.to refusal("task_id") }
    end
  end

  describe ".text" do
    it "accepts text and symbols, as UTF-8" do
      expect([described_class.text("a", "k"), described_class.text(:b, "k"),
              described_class.text("\u00e9".encode("ISO-8859-1"), "k")]).to eq(%w[a b é])
    end

    ["", nil, 1, "\xFF", "\xFF".b, ["a"]].each do |value|
      it("refuses #{value.inspect}") { expect { described_class.text(value, "k") }.to refusal("k") }
    end
  end

  it "accepts nil where text is optional" do
    expect(described_class.optional_text(nil, "k")).to be_nil
    expect { described_class.optional_text("", "k") }.to refusal("k")
  end

  describe ".texts" do
    it("accepts an array of text") { expect(described_class.texts(["a", :b], "tags")).to eq(%w[a b]) }
    it("accepts an empty array") { expect(described_class.texts([], "tags")).to eq([]) }
    it("refuses what is no array") { expect { described_class.texts("a", "tags") }.to refusal("tags") }
    it("names the one at fault") { expect { described_class.texts(["a", 1], "tags") }.to refusal("tags[1]") }
  end

  { seconds: [0, 1.5, Rational(1, 2)], optional_seconds: [nil, 0, 1.5, Rational(1, 2)] }.each do |check, accepted|
    describe ".#{check}" do
      accepted.each do |value|
        it("accepts #{value.inspect}") { expect(described_class.public_send(check, value, "timeout")).to eq(value) }
      end

      [-1, Float::NAN, Float::INFINITY, "1", Complex(1, 1)].each do |value|
        it "refuses #{value.inspect}" do
          expect { described_class.public_send(check, value, "timeout") }.to refusal("timeout")
        end
      end
    end
  end

  it "says of a time that is needed nothing of nil" do
    expect { described_class.seconds(-5, "seconds") }
      .to raise_error(TaskerCore::InvalidArgument, "seconds is -5, allowed: a number of seconds, not negative")
  end

  describe ".count" do
    it("accepts 1") { expect(described_class.count(1, "limit")).to eq(1) }

    [0, -1, 1.0, "1", nil].each do |value|
      it("refuses #{value.inspect}") { expect { described_class.count(value, "limit") }.to refusal("limit") }
    end
  end

  {
    "ages" => [:age, 100 * 365 * 86_400, 0], "costs" => [:cost, 1_000_000_000, 0]
  }.each do |what, (method, most, least)|
    it "accepts #{what} of #{least} to #{most}, and not one more or less" do
      expect([least, most].map { |value| described_class.public_send(method, value, "k") }).to eq([least, most])
      [least - 1, most + 1].each { |value| expect { described_class.public_send(method, value, "k") }.to refusal("k") }
    end
  end

  it "accepts a span up to the longest" do
    expect(described_class.optional_span(60, "deadline", 60)).to eq(60.0)
    [0, 60.5].each { |span| expect { described_class.optional_span(span, "deadline", 60) }.to refusal("deadline") }
  end

  it "accepts a budget of so many attempts, and so much, as the database can count" do
    most = { "attempts" => 2_147_483_647, "cost" => 1_000_000_000 }
    expect(described_class.budget(most)).to eq(most)
    most.each { |key, value| expect { described_class.budget(key => value + 1) }.to refusal("budget.#{key}") }
  end
end
