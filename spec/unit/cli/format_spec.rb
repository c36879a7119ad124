# frozen_string_literal: true

require "tasker_core/cli/format"

RSpec.describe TaskerCore::CLI::Format do
  describe ".duration" do
    {
      nil => "-", 0 => "0.0 ms", 0.0004 => "0.4 ms", 0.35 => "350 ms", 0.9994 => "999 ms", 0.9996 => "1.0 s",
      4.25 => "4.2 s", 59.94 => "59.9 s", 59.96 => "1 min 00 s", 185 => "3 min 05 s", 3599.6 => "1 h 00 min",
      8059 => "2 h 14 min", 86_400 => "1 d 00 h", 442_800 => "5 d 03 h"
    }.each do |seconds, text|
      it "writes #{seconds.inspect} seconds as #{text}" do
        expect(described_class.duration(seconds)).to eq(text)
      end
    end
  end

  it "groups the digits of large numbers" do
    numbers = [nil, 0, 999, 1000, 1_234_567, -1000]
    expect(numbers.map { |number| described_class.count(number) }).to eq(%w[- 0 999 1,000 1,234,567 -1,000])
  end

  it "says one thing and many things" do
    expect([described_class.many(1, "step"), described_class.many(1024, "step")]).to eq(["1 step", "1,024 steps"])
  end

  it "tells how long ago something happened, and never a negative time" do
    now = Time.utc(2026, 1, 31, 2, 0, 0)
    texts = ["2026-01-31T01:59:30.000000Z", "2026-01-31T02:00:01Z"].map { |at| described_class.age(at, now: now) }
    expect(texts).to eq(["30.0 s ago", "0.0 ms ago"])
  end

  it "counts the time of something that goes on up to now" do
    now = Time.utc(2026, 1, 31, 2, 0, 0)
    expect(described_class.between("2026-01-31T01:59:58Z", nil, now: now)).to eq(2.0)
  end

  it "writes a moment in the reader's time zone" do
    at = "2026-01-31T02:12:45.678901Z"
    texts = with_time_zone("Europe/Berlin") { [described_class.moment(at), described_class.moment(at, exact: true)] }
    expect(texts).to eq(["2026-01-31 03:12:45 +0100", "2026-01-31 03:12:45.678 +0100"])
  end

  def with_time_zone(name)
    before = ENV.fetch("TZ", nil)
    ENV["TZ"] = name
    yield
  ensure
    ENV["TZ"] = before
  end

  it "writes facts on one line" do
    texts = [{ "a" => 1, "b" => "x\n" }, {}, nil].map { |facts| described_class.facts(facts) }
    expect(texts).to eq(["a=1 b=x\\n", "-", "-"])
  end

  it "writes control characters out, so that nobody's text moves the cursor" do
    expect(described_class.clean("a\e[2J\nb\u0007\u202E")).to eq("a\\e[2J\\nb\\a\\u202E")
  end

  it "replaces bytes that are not UTF-8" do
    expect(described_class.clean("a\xFFb")).to eq("a\uFFFDb")
  end

  it "cuts long text and says so" do
    texts = [described_class.cut("a long sentence", 9), described_class.cut("short", 9), described_class.cut("abcd", 2)]
    expect(texts).to eq(["a long...", "short", ".."])
  end
end
