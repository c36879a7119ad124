# frozen_string_literal: true

require "date"

RSpec.describe TaskerCore::Internal::RetryAfter do
  let(:now) { Time.utc(2026, 1, 31, 12, 0, 0) }

  {
    0 => 0.0, 30 => 30.0, 1.5 => 1.5, Rational(1, 2) => 0.5, "120" => 120.0, " 7 " => 7.0, "0.5" => 0.5,
    "9999999999" => 9_999_999_999.0,
    "Sat, 31 Jan 2026 12:02:00 GMT" => 120.0, " Sat, 31 Jan 2026 12:02:00 GMT " => 120.0,
    "Sat Jan 31 12:02:00 2026" => 120.0, "Saturday, 31-Jan-26 12:02:00 GMT" => 120.0,
    "Sat, 31 Jan 2026 11:00:00 GMT" => 0.0,
    Time.utc(2026, 1, 31, 12, 1, 30) => 90.0, Time.utc(2026, 1, 31, 14, 1, 30).localtime("+02:00") => 7_290.0,
    Time.utc(2026, 1, 31, 11, 59) => 0.0, DateTime.new(2026, 1, 31, 12, 1) => 60.0
  }.each do |value, seconds|
    it "reads #{value.inspect} as #{seconds} seconds" do
      expect(described_class.seconds(value, now)).to eq(seconds)
    end
  end

  [
    "soon", "", "-5", "1e9", "5 s", "1_000", "2026-01-31T12:02:00Z", "Sat, 99 Jan 2026 12:02:00 GMT", "\xFF",
    "5".encode("UTF-16LE"), "9" * 400, -1, -0.5, Float::INFINITY, Float::NAN, 10**400, Complex(1, 1), :soon, [1], true,
    {}, Object.new, BasicObject.new, Class.new { def to_f = raise("no") }.new
  ].each do |value|
    it "does not understand #{BasicObject === value && !(Kernel === value) ? "a BasicObject" : value.inspect[0, 20]}" do # rubocop:disable Style/CaseEquality -- it answers to nothing else
      expect(described_class.seconds(value, now)).to be_nil
      expect(described_class.problem(value)).to match(/\Aretry_after is .+, which is neither seconds \(from 0\) nor /)
    end
  end

  # Text by chance: what is read, with pieces of it changed, or nothing but characters.
  samples = ["120", " 0.5 ", "Sat, 31 Jan 2026 12:02:00 GMT", "Sat Jan 31 12:02:00 2026",
             "Saturday, 31-Jan-26 12:02:00 GMT"].freeze
  pieces = ["", " ", "\n", "\t", "\0", "-", "+", ".", "e", "_", ",", ":", "99", "-1", "9" * 400, "GMT", "UTC", "+02:00",
            "Feb", "31", "Inf", "NaN", "0x1F", "é", "٣", "\xFF", "\xC3", "%", "(", "\\"].freeze
  encodings = %w[UTF-8 BINARY US-ASCII ISO-8859-1 UTF-16LE UTF-32BE Shift_JIS].freeze

  define_method :damaged do |random|
    text = random.rand(4).zero? ? random.bytes(random.rand(64)) : samples.sample(random: random).b
    random.rand(1..5).times do
      text[random.rand(text.bytesize + 1), random.rand(6)] = pieces.sample(random: random).b
    end
    text.force_encoding(encodings.sample(random: random))
  end

  def answered(value)
    expect(described_class.seconds(value, now)).to be_nil.or(be_between(0.0, Float::MAX))
    expect(described_class.problem(value)).to have_attributes(valid_encoding?: true, length: be < 200)
  rescue StandardError, RSpec::Expectations::ExpectationNotMetError => e
    raise "#{e.class}: #{e.message} with seed #{RSpec.configuration.seed}, for #{value.dump} (#{value.encoding})"
  end

  it "answers whatever is damaged in a header" do
    random = Random.new(RSpec.configuration.seed)
    5_000.times { answered(damaged(random)) }
  end

  it "reads every moment in each of the forms of HTTP" do
    random = Random.new(RSpec.configuration.seed)
    1_000.times do
      moment = Time.at(random.rand(Time.utc(2000).to_i...Time.utc(2050).to_i)).utc
      forms = [moment.httpdate, moment.strftime("%A, %d-%b-%y %H:%M:%S GMT"), moment.strftime("%a %b %e %H:%M:%S %Y")]
      seconds = forms.map { |form| described_class.seconds(form, now) }
      expect(seconds).to all(eq([moment - now, 0.0].max)), "#{seconds} for #{forms}, seed #{RSpec.configuration.seed}"
    end
  end

  it "reads any seconds from 0" do
    random = Random.new(RSpec.configuration.seed)
    1_000.times do
      seconds = random.rand(10.0**random.rand(-3..15)).round(3)
      forms = [seconds, format("%.3f", seconds), Rational(format("%.3f", seconds)), format(" %.3f\r\n", seconds)]
      read = forms.map { |form| described_class.seconds(form, now) }
      same = all(be_within(seconds * Float::EPSILON).of(seconds))
      expect(read).to same, "#{read} for #{forms}, seed #{RSpec.configuration.seed}"
    end
  end

  it "reads what has seconds, as a duration does" do
    expect(described_class.seconds(Class.new { def to_f = 2.5 }.new, now)).to eq(2.5)
  end

  it "shows short values, and of others no more than a piece or their class" do
    expect(described_class.problem(:soon)).to start_with("retry_after is :soon, which")
    expect(described_class.problem("x" * 1_000).length).to be < 200
    expect(described_class.problem([1])).to start_with("retry_after is a Array, which")
  end
end
