# frozen_string_literal: true

require "fileutils"
require "tmpdir"

RSpec.describe TaskerCore::Internal::ConfigurationFile do
  around { |example| Dir.mktmpdir { |folder| (@folder = folder) && example.run } }

  let(:path) { File.join(@folder, "config", "tasker.yml") }

  def configuration(text, env: {}, &block)
    FileUtils.mkdir_p(File.dirname(path))
    File.write(path, text)
    TaskerCore::Configuration.new(env: env, folder: @folder).with(&block)
  end

  def refusal(text, env: {}, &block)
    configuration(text, env: env, &block)
    nil
  rescue TaskerCore::ConfigurationError => e
    e.message
  end

  it "makes settings, and those of the environment before the others" do
    text = <<~YAML
      pool_size: 7
      connect_timeout: 2
      error_classes: { IOError: permanent, EOFError: blocked }
      worker: { concurrency: 3, queues: [mail] }
      environments:
        qa: { pool_size: 8, error_classes: { IOError: blocked }, worker: { concurrency: 4 } }
        production: { pool_size: 9 }
    YAML

    expect(configuration(text)).to have_attributes(pool_size: 7, connect_timeout: 2,
                                                   worker: { concurrency: 3, queues: ["mail"] })
    expect(configuration(text, env: { "TASKER_ENV" => "qa" }))
      .to have_attributes(pool_size: 8, worker: { concurrency: 4, queues: ["mail"] },
                          error_classes: { "IOError" => "blocked", "EOFError" => "blocked" })
  end

  it "goes by the environment that the block names" do
    text = "environments: { qa: { pool_size: 8 } }"
    expect(configuration(text) { |c| c.environment = "qa" }.pool_size).to eq(8)
  end

  it "comes before the block, and the block before the variables" do
    block = ->(c) { c.pool_size += 10 }
    expect(configuration("pool_size: 7", &block).pool_size).to eq(17)
    expect(configuration("pool_size: 7", env: { "TASKER_POOL_SIZE" => "20" }, &block).pool_size).to eq(20)
    expect(configuration("pool_size: 7", env: { "TASKER_POOL_SIZE" => "" }).pool_size).to eq(7)
  end

  it "does not show what it holds" do
    seen = configuration("database_url: postgres://ada:s3cret@db/shop")
    expect([seen.inspect, seen.file.inspect].join).to include(path).and(satisfy { |text| !text.include?("s3cret") })
  end

  it "holds Ruby" do
    expect(configuration("pool_size: <%= 4 + 4 %>").pool_size).to eq(8)
  end

  {
    "poolsize: 3" => /unknown key poolsize, allowed: .*; did you mean "pool_size"\?/,
    "environments: { prodution: { pool_size: 3 } }" =>
      /unknown environment environments\.prodution; did you mean "production"\?/,
    "environments: { qa: { poolsize: 3 } }" => /unknown key environments\.qa\.poolsize, allowed: /,
    "worker: { threads: 3, concurency: 4 }" => /unknown key worker\.threads, allowed: concurrency, /,
    "environments: { qa: { worker: { concurency: 4 } } }" =>
      /unknown key environments\.qa\.worker\.concurency, .*; did you mean "concurrency"\?/,
    "pool_size: many" => /pool_size is "many", allowed is a whole number from 1 to 100/,
    "worker: { concurrency: 0 }" => /worker: concurrency is 0, allowed is a whole number/,
    "worker: 7" => /worker must hold keys and values/,
    "encryption_keys: { a: 7 }" => /encryption_keys is a key of the name "a"/,
    "database: 7" => /database is 7, allowed is the name of a database/,
    "database_url: 1\npool_size: <%= nope %>" => /its Ruby fails in line 2: NameError: /,
    "pool_size: <%= if %>" => /its Ruby fails: SyntaxError: /
  }.each do |text, message|
    it "is refused, with its path and the key: #{text.inspect}" do
      expect(refusal(text)).to start_with("#{path}: ").and match(message)
    end
  end

  it "is refused where a key is given twice, with the line" do
    expect(refusal("pool_size: 3\npool_size: 4")).to eq(%(#{path}:2: key "pool_size" is given twice, first in line 1))
  end

  it "may have any environment that is like no other" do
    expect(configuration("environments: { eu: {}, production: {}, production2: { pool_size: 3 } }").pool_size).to eq(4)
  end

  it "is refused whichever environment has what is unknown" do
    expect(refusal("environments: { production: { worker: { thread: 1 } } }")).to match(/production\.worker\.thread/)
  end

  it "is not to blame for what the block or a variable says" do
    expect(refusal("pool_size: 7") { |c| c.pool_size = 0 }).to start_with("pool_size is 0, allowed")
    expect(refusal("pool_size: 7", env: { "TASKER_POOL_SIZE" => "x" }))
      .to start_with('TASKER_POOL_SIZE is "x", allowed is a whole number from 1 to 100')
  end
end
