# frozen_string_literal: true

RSpec.describe TaskerCore::Configuration do
  def with(**settings)
    described_class.new(env: {}).with { |c| settings.each { |name, value| c.public_send("#{name}=", value) } }
  end

  describe "the environment" do
    {
      {} => "development", { "RAILS_ENV" => "staging" } => "staging",
      { "TASKER_ENV" => "test", "RAILS_ENV" => "staging" } => "test",
      { "TASKER_ENV" => "", "RAILS_ENV" => "staging" } => "staging"
    }.each do |env, expected|
      it "is #{expected} where the variables are #{env}" do
        expect(described_class.new(env: env).environment).to eq(expected)
      end
    end

    %w[TASKER_ENV RAILS_ENV TASKER_POOL_SIZE].each do |variable|
      it "is refused where #{variable} is not UTF-8" do
        expect { described_class.new(env: { variable => "\xFF" }) }
          .to raise_error(TaskerCore::ConfigurationError, "#{variable} is not UTF-8; set it to text in UTF-8")
      end
    end
  end

  {
    database_url: ["mysql://x", 7, "", "postgres:/x", "postgres://\xFF", "postgres://x".encode(Encoding::UTF_16)],
    environment: ["", nil, "a b", :test, "\xFF"],
    pool_size: [0, 101, -1, 2.5, "4", nil], connect_timeout: [0, -1, 301, Float::NAN, "3", nil, Complex(1, 1)],
    logger: [nil, Object.new, "stderr"]
  }.each do |name, values|
    values.each do |value|
      it "refuses #{name} = #{value.class} #{value.inspect[0, 14]} and says what is allowed" do
        expect { with(name => value) }.to raise_error(TaskerCore::ConfigurationError, /\A#{name} is .*, allowed is /)
      end
    end
  end

  it "says which setting, which value, and what is allowed in the details" do
    expect { with(pool_size: 0) }.to raise_error(TaskerCore::ConfigurationError) { |error|
      expect(error.details).to eq("key" => "pool_size", "value" => "0", "allowed" => "a whole number from 1 to 100")
    }
  end

  it "accepts what it documents" do
    logger = Logger.new(File::NULL)
    settings = { database_url: "postgresql:///x", environment: "qa-2", pool_size: 1, connect_timeout: 1,
                 logger: logger, transaction_connection: -> {} }

    expect(with(**settings)).to have_attributes(settings)
  end

  {
    pool_size: [[1, 100], [0, 101]], connect_timeout: [[0.001, 300], [0, 300.1]],
    max_context_bytes: [[1_024, 67_108_864], [1_023, 67_108_865]]
  }.each do |name, (taken, refused)|
    it "takes #{name} of #{taken.join(" to ")}, and not one more or less" do
      expect(taken.map { |value| with(name => value).public_send(name) }).to eq(taken)
      refused.each do |value|
        expect { with(name => value) }.to raise_error(TaskerCore::ConfigurationError, /\A#{name} is #{value}, allowed/)
      end
    end
  end

  it "refuses a transaction_connection that cannot be called" do
    expect { with(transaction_connection: 7) }
      .to raise_error(TaskerCore::ConfigurationError, /\Atransaction_connection is Integer, allowed is something /)
  end

  it "takes the variables' word for what they name" do
    env = { "TASKER_ENV" => "qa", "TASKER_POOL_SIZE" => "9", "TASKER_CONNECT_TIMEOUT" => "1.5",
            "TASKER_MAX_CONTEXT_BYTES" => "2048" }
    changed = described_class.new(env: env).with { |c| c.environment = "test" }
    expect(changed).to have_attributes(environment: "qa", pool_size: 9, connect_timeout: 1.5, max_context_bytes: 2_048)
  end

  {
    around_steps: [nil, 7, [7], -> {}], worker: [nil, 7, [], { concurrency: 0 }, { threads: 1 }],
    authenticator: [7, "admin"], database: ["", 7]
  }.each do |name, values|
    values.each do |value|
      it "refuses #{name} = #{value.class}" do
        expect { with(name => value) }.to raise_error(TaskerCore::ConfigurationError, /\A#{name}\b/)
      end
    end
  end

  describe "encryption_keys" do
    let(:key) { ["k" * 32].pack("m0") }

    it "come from the environment, in their order" do
      expect(described_class.new(env: {}).with.encryption_keys).to eq({})
      configuration = described_class.new(env: { "TASKER_ENCRYPTION_KEYS" => "b:#{key}, a:#{key}" }).with
      expect(configuration.encryption_keys.to_a).to eq([["b", key], ["a", key]])
    end

    it "are 100 at most, with names of 64 characters at most" do
      keys = (1..100).to_h { |number| [number.to_s.rjust(64, "0"), key] }
      expect(with(encryption_keys: keys).encryption_keys).to eq(keys)
      [keys.merge("a" => key), { "n" * 65 => key }].each do |beyond|
        expect { with(encryption_keys: beyond) }.to raise_error(TaskerCore::ConfigurationError, /at most 100 names/)
      end
    end

    it "are copied, so that they change for nobody" do
      mine = { next: key.dup }
      configuration = with(encryption_keys: mine)
      mine[:next] << "x"
      expect(configuration.encryption_keys).to eq("next" => key).and be_frozen
    end

    it "are not shown" do
      shown = with(encryption_keys: { "a" => key }).inspect
      expect(shown).to include('encryption_keys=["a"]')
      expect(shown).not_to include(key)
    end

    bytes = ->(count) { ["k" * count].pack("m0") }
    {
      "text" => "a:#{bytes.call(32)}", "a key that is no text" => { "a" => 7 },
      "a key as a name" => { bytes.call(32) => "a" },
      "too short a key" => { "a" => bytes.call(31) }, "too long a key" => { "a" => bytes.call(33) },
      "no base64" => { "a" => bytes.call(32).tr("a", "!") },
      "bits to spare" => { "a" => bytes.call(32).sub(/.=\z/, "B=") },
      "a second line" => { "a" => "#{bytes.call(32)}\n" }, "too many" => (1..101).to_h { |i| ["k#{i}", bytes.call(32)] }
    }.each do |what, keys|
      it "are refused without being shown: #{what}" do
        expect { with(encryption_keys: keys) }.to raise_error(TaskerCore::ConfigurationError) { |error|
          expect(error.message).to match(/\Aencryption_keys is (a|\d+) .*, allowed is at most 100 names/)
          expect(error.message + error.details.to_s).not_to match(/a2tr/)
        }
      end
    end

    it "of the environment that are none are refused without being shown" do
      [key, "a:#{key},", ":#{key}", "a:secret"].each do |text|
        expect { described_class.new(env: { "TASKER_ENCRYPTION_KEYS" => text }).with }
          .to raise_error(TaskerCore::ConfigurationError) { |error| expect(error.message).not_to match(/a2tr|secret/) }
      end
    end
  end

  describe "error_classes" do
    it "are none by default, and copied, with names and kinds as text" do
      mine = { IOError => :retryable, "Stripe::CardError": +"permanent" }
      configuration = with(error_classes: mine)
      mine.clear
      expect(described_class.new(env: {}).with.error_classes).to eq({})
      expect(configuration.error_classes)
        .to eq("IOError" => "retryable", "Stripe::CardError" => "permanent").and be_frozen
    end

    {
      nil => "a NilClass", ["IOError"] => "a Array", { "IOError" => "fatal" } => '"fatal" for IOError',
      { "IOError" => nil } => "nil for IOError", { "IOError" => 1 } => "1 for IOError",
      { "io_error" => "blocked" } => 'a table with the name "io_error"',
      { Class.new(IOError) => "blocked" } => 'a table with the name ""',
      { "\xFF" => "blocked" } => 'a table with the name "\xFF"',
      { TaskerCore::RetryableError => "permanent" } => 'a table with the name "TaskerCore::RetryableError"'
    }.each do |table, seen|
      it "refuse #{seen}" do
        expect { with(error_classes: table) }
          .to raise_error(TaskerCore::ConfigurationError) { |error|
            expect(error.message).to start_with("error_classes is #{seen}, allowed is at most 1000 names of exception")
            expect(error.details["key"]).to eq("error_classes")
          }
      end
    end
  end

  it "is frozen, and leaves the settings it was made from as they are" do
    base = described_class.new(env: {})
    changed = base.with { |c| c.pool_size = 9 }

    expect(changed).to be_frozen.and have_attributes(pool_size: 9)
    expect(base.pool_size).to eq(4)
  end

  {
    "postgres://ada:s3cret@db/shop" => "s3cret", "postgres://ada:a/b@c@db/shop" => "a/b",
    "postgres://db/shop?user=ada&password=s3cret" => "s3cret"
  }.each do |url, password|
    it "hides the password of #{url} when it is shown or refused" do
      expect(with(database_url: url).inspect).to include("db/shop").and(satisfy { |text| !text.include?(password) })
      expect { with(database_url: url.sub("postgres", "mysql")) }
        .to raise_error(TaskerCore::ConfigurationError, satisfy { |text| !text.include?(password) })
    end
  end
end
