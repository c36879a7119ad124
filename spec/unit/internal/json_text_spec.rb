# frozen_string_literal: true

require "bigdecimal"
require "set"

RSpec.describe TaskerCore::Internal::JsonText do
  def generate(value, symbols: false)
    described_class.new(symbols: symbols).generate(value, what: "context")
  end

  def refusal(message)
    raise_error(TaskerCore::InvalidContext) { |error|
      expect(error.message).to match(message)
      expect(error.details.fetch("allowed")).not_to be_empty
      expect(error.message).to start_with(error.details.fetch("key"))
    }
  end

  [
    nil, true, false, 0, -1, 10**40, 1.5, -0.0, 1e300, "", "text", "\u{1F600} \u0000 \" \\", [], {}, [1, [nil, {}]],
    { "a" => { "b" => [1, "c"] } }
  ].each do |value|
    it "writes #{value.inspect[0, 40]} so that reading gives the same" do
      expect(JSON.parse(generate(value))).to eq(value)
    end
  end

  it "writes symbols that are keys as text" do
    expect(generate({ a: { b: 1 } })).to eq('{"a":{"b":1}}')
  end

  it "writes text of other encodings as UTF-8" do
    expect(generate({ "a" => "\u00e9".encode("ISO-8859-1") })).to eq('{"a":"é"}')
    expect(generate("ascii".b)).to eq('"ascii"')
  end

  {
    { "at" => Time.at(0) } => /\Acontext\.at is of class Time .*iso8601/,
    { "items" => [1, { "price" => BigDecimal("1.5") }] } => /\Acontext\.items\[1\]\.price is of class BigDecimal/,
    { "a b" => :sym } => /\Acontext\["a b"\] is of class Symbol \(:sym\).*to_s/,
    { "tags" => Set[1] } => /\Acontext\.tags is of class Set .*to_a/,
    { "ids" => (1..3) } => /\Acontext\.ids is of class Range .*to_a/,
    { "ids" => [1].each } => /\Acontext\.ids is of class Enumerator .*to_a/,
    { "pair" => Struct.new(:a).new(1) } => /\Acontext\.pair is of .*to_h/,
    { "o" => Object.new } => /\Acontext\.o is of class Object/,
    { "order" => Struct.new(:to_global_id).new } => /\Acontext\.order is of .*to_global_id\.to_s, .*GlobalID::Locator/,
    { "order" => Class.new { def self.name = "GlobalID" }.new } => /\Acontext\.order is of .*pass the record itself/,
    { "n" => Float::NAN } => /\Acontext\.n is NaN .*finite/,
    { "n" => -Float::INFINITY } => /\Acontext\.n is -Infinity/,
    { "n" => Complex(1, 1) } => /\Acontext\.n is of class Complex/,
    { 1 => 2 } => /\Acontext has a key of class Integer \(1\)/,
    { "a" => { nil => 2 } } => /\Acontext\.a has a key of class NilClass/,
    { :a => 1, "a" => 2 } => /\Acontext has a key twice.*\(:a\)/,
    { "a" => "\xFF" } => /\Acontext\.a is not UTF-8/,
    { "a" => "\xFF".b } => /\Acontext\.a is not UTF-8/,
    { "\xFF" => 1 } => /\Acontext has a key that is not UTF-8 \("\\xFF"\)/
  }.each do |value, message|
    it "refuses #{value.inspect[0, 50]}" do
      expect { generate(value) }.to refusal(message)
    end
  end

  describe "with records" do
    let(:order) { Class.new { def to_global_id = "gid://shop/Order/7" }.new }
    let(:unsaved) { Class.new { def to_global_id = raise("no id") }.new }

    def generate(value)
      described_class.new(records: true).generate(value, what: "context")
    end

    it "writes them as their global ids, and leaves the value as it is" do
      value = { order: order, list: [1, { "a" => order }], same: {}.freeze }.freeze
      object = { "tasker_global_id" => "gid://shop/Order/7" }

      expect(JSON.parse(generate(value))).to eq("order" => object, "list" => [1, { "a" => object }], "same" => {})
      expect(value[:order]).to be(order)
    end

    it "refuses those without one, what looks like one, and what is wrong beside one" do
      expect { generate({ a: order, b: [unsaved] }) }.to refusal(/\Acontext\.b\[0\] is of .*no global id.*saved/)
      expect {
        generate({ a: { tasker_global_id: "gid://shop/Order/7" } })
      }.to refusal(/\Acontext\.a has a key that stands/)
      expect { generate({ a: order, b: Time.at(0) }) }.to refusal(/\Acontext\.b is of class Time/)
    end

    it "ends where a value holds itself" do
      value = [order]
      2.times { value << value }
      expect { generate(value) }.to refusal(/nested too deeply/)
    end
  end

  it "writes the same after a writing that was cut off inside" do
    text = described_class.new
    text.instance_variable_get(:@writer).depth = 1_000 # what an interrupt may leave behind

    expect(text.generate([[1], { "a" => [] }], what: "results")).to eq('[[1],{"a":[]}]')
  end

  it "may be used by several threads at once" do
    text = described_class.new
    value = ->(n) { { n.to_s => ["\u00e9#{n}".encode("ISO-8859-1")] * 50 } }
    written = Array.new(4) { |n| Thread.new { Array.new(200) { text.generate(value.call(n), what: "results") } } }

    written.each_with_index do |thread, n|
      expect(thread.value.uniq).to eq([JSON.generate(value.call(n))])
    end
  end

  it "refuses an object whose inspect fails, and one of a class without a name" do
    odd = Class.new { def inspect = raise("no") }.new

    expect { generate({ "a" => odd }) }.to refusal(/anonymous class \(a value that/)
  end

  it "shows a piece of a long value only" do
    expect { generate({ "a" => ("x" * 10_000).to_sym }) }
      .to raise_error(TaskerCore::InvalidContext, satisfy { |message| message.length < 300 })
  end

  describe "nesting" do
    def nested(levels)
      Array.new(levels).inject(1) { |inner, _| [inner] }
    end

    it "may be as deep as the limit" do
      expect(JSON.parse(generate(nested(100)), max_nesting: 100)).to eq(nested(100))
    end

    it "is refused beyond it, with the beginning of the key path" do
      expect { generate(nested(101)) }.to refusal(/\Acontext\[0\]\[0\].*\.\.\. is nested too deeply.*100 levels/)
    end

    it "is refused where a value contains itself" do
      loop = {}
      loop["again"] = loop

      expect { generate(loop) }.to refusal(/\Acontext\.again\.again.*nested too deeply/)
    end
  end

  context "with symbols allowed" do
    it "writes symbols that are values as text" do
      expect(generate({ status: :ok, list: [:a] }, symbols: true)).to eq('{"status":"ok","list":["a"]}')
    end

    it "still refuses other objects" do
      expect { generate({ "at" => Time.at(0) }, symbols: true) }.to refusal(/\Acontext\.at is of class Time/)
    end
  end
end
