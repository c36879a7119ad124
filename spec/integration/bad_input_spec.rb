# frozen_string_literal: true

require "socket"

RSpec.describe "Bad input", :database do
  include Workflows

  before do
    handler("Any") { nil }
    order = { type: "object", required: ["order_id"], properties: { order_id: { type: "integer", minimum: 1 } } }
    TaskerCore.define("order", schema: order) { step "only", handler: "Any" }
    TaskerCore.define("free") { step "only", handler: "Any" }
  end

  after { expect(count("tasker_tasks")).to eq(0) }

  def nested(levels)
    { "a" => Array.new(levels - 1).inject(1) { |inner, _| [inner] } }
  end

  it "is refused when no such template is known, and says what is near" do
    TaskerCore.client.register(TaskerCore.templates.first)

    expect { TaskerCore.submit("ordre") }.to raise_error(TaskerCore::UnknownTemplate, /ordre.*order/m)
    expect { TaskerCore.submit("order", namespace: "shop") }.to raise_error(TaskerCore::UnknownTemplate, /shop/)
    expect { TaskerCore.submit("order", version: "9.9.9") }.to raise_error(TaskerCore::UnknownTemplate, /9\.9\.9/)
  end

  {
    {} => "order_id", { order_id: "7" } => "order_id", { order_id: -5 } => "order_id", { order_id: 1.5 } => "order_id"
  }.each do |context, key|
    it "is refused when the context #{context} violates the schema, naming the key" do
      expect { TaskerCore.submit("order", context: context) }.to raise_error(TaskerCore::InvalidContext, /#{key}/)
    end
  end

  it "says which of many contexts is at fault" do
    expect { TaskerCore.submit_all("order", contexts: [{ order_id: 1 }, { order_id: 2 }, {}]) }
      .to raise_error(TaskerCore::InvalidContext, /2/)
  end

  it "is refused when a context is too deep" do
    [65, 100, 101, 5_000].each do |levels|
      expect { TaskerCore.submit("free", context: nested(levels)) }
        .to raise_error(TaskerCore::InvalidContext, /level|deep/)
    end
  end

  it "is refused when a context is too large" do
    expect { TaskerCore.submit("free", context: { a: "x" * 1_100_000 }) }
      .to raise_error(TaskerCore::InvalidContext, /1048576|1 MiB|large|bytes/)
  end

  ["\xFF", "nul \u0000", "\xED\xA0\x80"].each do |text|
    it "is refused when a context holds #{text.inspect}" do
      expect { TaskerCore.submit("free", context: { "a" => text }) }.to raise_error(TaskerCore::InvalidContext)
      expect { TaskerCore.submit("free", context: { text => 1 }) }.to raise_error(TaskerCore::InvalidContext)
    end
  end

  { reason: "x" * 2_000, initiator: "x" * 200, tags: ["nul \u0000"], source_system: "nul \u0000" }.each do |key, value|
    it "is refused when #{key} cannot be kept" do
      expect { TaskerCore.submit("free", key => value) }.to raise_error(TaskerCore::InvalidArgument, /#{key}/)
    end
  end

  it "is refused when a template to be registered is none" do
    expect { TaskerCore.client.register("order") }
      .to raise_error(TaskerCore::InvalidArgument, /template is "order", allowed: a TaskTemplate/)
  end

  %i[status result cancel explain wait].each do |method|
    it "is refused by #{method} when the id does not exist" do
      expect { TaskerCore.public_send(method, 9_999_999) }.to raise_error(TaskerCore::NotFound, /9999999/)
      expect { TaskerCore.public_send(method, (2**63) - 1) }.to raise_error(TaskerCore::NotFound)
    end
  end

  it "is refused when a list is asked for in a state that does not exist" do
    expect { TaskerCore.list(state: "compleet") }.to raise_error(TaskerCore::InvalidArgument, /compleet.*complete/m)
  end

  describe "about the database" do
    def seconds
      start = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      yield
      Process.clock_gettime(Process::CLOCK_MONOTONIC) - start
    end

    def client(url)
      TaskerCore::Client.new(TaskerCore.configuration.with do |c|
        c.database_url = url
        c.connect_timeout = 1.0
      end)
    end

    it "is refused within seconds when nothing listens" do
      expect(seconds do
        expect { client("postgres://127.0.0.1:1/none").schema_version }
          .to raise_error(TaskerCore::DatabaseUnavailable) { |error| expect(error).to be_retryable }
      end).to be < 5
    end

    it "is refused within seconds when the server accepts and says nothing" do
      TCPServer.open("127.0.0.1", 0) do |server|
        url = "postgres://127.0.0.1:#{server.addr[1]}/none"

        expect(seconds { expect { client(url).status(1) }.to raise_error(TaskerCore::DatabaseUnavailable) }).to be < 5
      end
    end

    it "is refused when the database does not exist, without the password" do
      url = database_url.sub(%r{//[^@/]*@}, "//tasker:s3cret@").sub(%r{/[^/]*\z}, "/no_such_database")

      expect { client(url).status(1) }
        .to raise_error(TaskerCore::Error, satisfy { |message| !message.include?("s3cret") })
    end

    it "is refused when the schema is not there, saying what to run" do
      with_database(migrated: false) do |url|
        other = client(url)

        expect { other.submit("free") }.to raise_error(TaskerCore::SchemaMismatch, /tasker migrate/)
        expect { TaskerCore::Worker.new(configuration: TaskerCore.configuration.with { |c| c.database_url = url }).run }
          .to raise_error(TaskerCore::SchemaMismatch, /tasker migrate/)
      ensure
        other.close
      end
    end
  end
end
