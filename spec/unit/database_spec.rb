# frozen_string_literal: true

require "fileutils"
require "tmpdir"

RSpec.describe TaskerCore::Database do
  around { |example| Dir.mktmpdir { |folder| (@folder = folder) && example.run } }

  let(:outcome) { :started }
  let(:embedded) do
    instance_double(TaskerCore::Internal::EmbeddedPostgres, start: outcome, data_folder: "/data",
                                                            url: "postgres://embedded/tasker")
  end

  def resolve(env: {}, url: nil, environment: "test")
    configuration = TaskerCore::Configuration.new(env: {}, folder: @folder).with do |c|
      c.database_url = url
      c.environment = environment
    end
    described_class.resolve(configuration, env: env, embedded: embedded)
  end

  def write_file(text)
    FileUtils.mkdir_p(File.join(@folder, "config"))
    File.write(File.join(@folder, "config", "tasker.yml"), text)
  end

  it "takes the configuration before the environment and the file" do
    write_file("database_url: postgres://file/db")
    database = resolve(url: "postgresql://configured/db", env: { "DATABASE_URL" => "postgres://env/db" })
    expect([database.url, database.source]).to eq(["postgresql://configured/db", :configuration])
  end

  it "takes DATABASE_URL before the file" do
    write_file("database_url: postgres://file/db")
    database = resolve(env: { "DATABASE_URL" => "postgres://env/db" })
    expect([database.url, database.source]).to eq(["postgres://env/db", :environment])
  end

  it "takes the file before the embedded server, and passes over an empty DATABASE_URL" do
    write_file("database_url: postgres://file/db")
    database = resolve(env: { "DATABASE_URL" => "" })
    expect([database.url, database.source]).to eq(["postgres://file/db", :file])
    expect(embedded).not_to have_received(:start)
  end

  it "prefers the file's URL of the environment" do
    write_file(<<~YAML)
      database_url: postgres://all/db
      environments: { production: { database_url: postgres://production/db } }
    YAML
    expect(resolve(environment: "production").url).to eq("postgres://production/db")
    expect(resolve(environment: "staging").url).to eq("postgres://all/db")
  end

  it "starts the embedded server where nothing names a database, and says so once" do
    database = resolve
    expect([database.url, database.embedded?]).to eq(["postgres://embedded/tasker", true])
    expect(database.notice).to match(%r{embedded Postgres in /data .*tasker db stop})
  end

  context "with an embedded server that runs already" do
    let(:outcome) { :running }

    it("says nothing") { expect(resolve.notice).to be_nil }
  end

  it "refuses the name of a database where there is no application that has such" do
    write_file("database: tasker")
    expect { resolve }
      .to raise_error(TaskerCore::ConfigurationError, /database is "tasker", and only a Rails application/)
    expect(resolve(env: { "DATABASE_URL" => "postgres://env/db" }).source).to eq(:environment)
  end

  it "refuses a DATABASE_URL of another kind without showing what may be a password" do
    expect { resolve(env: { "DATABASE_URL" => "mysql://u:secret@h/db" }) }
      .to raise_error(TaskerCore::ConfigurationError) { |error|
        expect(error.message).to eq('DATABASE_URL must begin with postgres:// or postgresql://, not with "mysql://"')
        expect(error.message).not_to include("secret")
      }
  end

  it "reads DATABASE_URL as UTF-8, whatever the locale, and refuses what is not" do
    ascii = { "DATABASE_URL" => (+"postgres://env/für").force_encoding(Encoding::US_ASCII) }
    expect(resolve(env: ascii).url).to eq("postgres://env/für")
    expect { resolve(env: { "DATABASE_URL" => "postgres://u:secret\xFF@h/db" }) }
      .to raise_error(TaskerCore::ConfigurationError, "DATABASE_URL is not UTF-8; set it to text in UTF-8")
  end

  it "refuses an unknown key of the file with its path and a suggestion" do
    write_file("databse_url: postgres://file/db")
    expect { resolve }.to raise_error(TaskerCore::ConfigurationError,
                                      /tasker\.yml: unknown key databse_url.*did you mean "database_url"/)
  end

  it "refuses an unknown key of an environment, whose place it names" do
    write_file("environments: { test: { url: x } }")
    expect { resolve }.to raise_error(TaskerCore::ConfigurationError, /unknown key environments\.test\.url/)
  end

  {
    "a list" => ["- 1", /must hold keys and values, it is a Array/],
    "an environment that is text" => ["environments: { test: no }", /environments\.test must hold keys and values/],
    "broken YAML" => ["a: [", /is not understood/],
    "a tag" => ["database_url: !ruby/object:Object {}", /tasker\.yml:1: tag .* is not allowed/],
    "an alias" => ["a: &a 1\nb: *a", /tasker\.yml:1: anchors .* are not allowed/],
    "bytes that are no UTF-8" => ["database_url: \xFF".b, /is not understood/],
    "a number for a URL" => ["database_url: 7", /must begin with postgres/]
  }.each do |name, (text, message)|
    it "refuses a file with #{name}" do
      write_file(text)
      expect { resolve }.to raise_error(TaskerCore::ConfigurationError, message)
    end
  end

  it "takes an empty file for none" do
    write_file("# nothing yet\n")
    expect(resolve.source).to eq(:embedded)
  end

  it "refuses a file that cannot be read" do
    FileUtils.mkdir_p(File.join(@folder, "config", "tasker.yml"))
    expect { resolve }.to raise_error(TaskerCore::ConfigurationError, /cannot be read: Is a directory/)
  end
end
