# frozen_string_literal: true

require "open3"
require "rbconfig"
require "tasker_core/testing/circuit_breakers"

RSpec.describe "A step that calls an HTTP service", :database do
  include Workflows
  OptionalGem.needed_by(self, "faraday")

  around do |example|
    HttpService.open(->(request) { @answer.call(request) }) { |service| (@service = service) && example.run }
  end
  after { TaskerCore::Testing::CircuitBreakers.reset }

  # What the service answers.
  def answering(status = 200, headers = {}, body = "", &block)
    @answer = block || ->(_request) { [status, headers, body] }
  end

  # Template "one" of one step, whose handler is a class below Api.
  def define(config: {}, **options, &process)
    stub_const("OnlyHandler", Class.new(TaskerCore::StepHandler::Api) do
      define_method(:process) { |_task, _sequence, _step| instance_exec(&process) }
    end)
    TaskerCore.define("one") do
      step "only", handler: "OnlyHandler", config: config, retry: Workflows::RETRY_AT_ONCE, retry_limit: 2, **options
    end
  end

  def define_get(config: {}, **options)
    define(config: { url: @service.url, **config }, **options) { connection.get("orders/7") }
  end

  def step
    run("one").step("only")
  end

  # Of all attempts; one that completed has only nil.
  def failures
    sql("SELECT error->>'class' AS class, error->>'code' AS code, error->>'retry_after_s' AS seconds " \
        "FROM tasker_attempts ORDER BY attempt")
  end

  def keys
    @service.requests.map { |request| request.headers["idempotency-key"] }
  end

  it "has status and body of the response as its results" do
    answering(200, { "Content-Type" => "application/json" }, '{"total":5}')
    define_get(config: { params: { currency: "EUR" }, headers: { "X-Shop" => "7" } })

    expect(step).to have_attributes(state: "complete", results: { "status" => 200, "body" => { "total" => 5 } })
    expect(@service.requests.first).to have_attributes(
      verb: "GET", path: "/orders/7?currency=EUR", headers: include("x-shop" => "7", "accept" => "application/json")
    )
  end

  it "fails for good where nothing says what host to ask, and asks none" do
    failed = [{}, { url: "not a url" }].map do |config|
      TaskerCore.registry.clear
      define(config: config) { connection.get("orders/7") }
      step.error.values_at("kind", "code", "message").tap { sql("DELETE FROM tasker_tasks") }
    end

    expect(failed).to match([["permanent", "INVALID_CONFIG", /\AGET .*orders.* names no host, and url of .* not set/],
                             ["permanent", "INVALID_CONFIG", /url of .* is "not a url", allowed: a URL/]])
    expect(@service.requests).to be_empty
  end

  it "asks whom the request names where there is no url" do
    answering
    url = "#{@service.url}/orders/7"
    define { connection.get(url) }

    expect([step.state, @service.requests.size]).to eq(["complete", 1])
  end

  it "turns the response into results itself" do
    answering(200, {}, "7")
    define_get
    OnlyHandler.define_method(:process_results) { |step, response, _initial| step.results = response.body.to_i }

    expect(step.results).to eq(7)
  end

  it "returns something else, whatever the service said" do
    answering(404)
    define(config: { url: @service.url }) { connection.get("orders/7").status == 404 ? "none" : raise }

    expect(step).to have_attributes(state: "complete", results: "none", attempts: 1)
  end

  it "fails for good where another attempt would be answered alike" do
    answering(422, {}, "no such currency")
    define_get

    url = "#{@service.url}/orders/7"
    failure = { "kind" => "permanent", "code" => "HTTP_422", "message" => "GET #{url} was answered with HTTP 422",
                "context" => { "status" => 422, "url" => url, "body" => "no such currency" } }

    expect(step).to have_attributes(state: "error", attempts: 1, error: include(failure))
  end

  it "is tried again otherwise" do
    statuses = [500, 200]
    answering { [statuses.shift, {}, ""] }
    define_get

    expect(step).to have_attributes(state: "complete", attempts: 2)
  end

  it "is tried again when the service wants it to be" do
    statuses = [429, 200]
    answering { [statuses.shift, { "Retry-After" => "1" }, ""] }
    define_get

    expect(step).to have_attributes(state: "complete", attempts: 2)
    expect(failures.first).to include("code" => "HTTP_429", "seconds" => "1.0")
  end

  it "is judged by the response that an exception of Faraday's brings" do
    answering(403)
    define(config: { url: @service.url }) { connection.get("orders/7") }
    OnlyHandler.define_method(:initialize) do |config: nil|
      super(config: config) { |faraday| faraday.response(:raise_error) }
    end

    expect(step).to have_attributes(state: "error", attempts: 1, error: include("code" => "HTTP_403"))
  end

  it "is tried again where the service does not answer in time" do
    first = true
    answering do
      silent = first
      first = false
      silent ? Queue.new.pop : [200, {}, ""]
    end
    define_get(config: { timeout_seconds: 0.2 })

    expect(step).to have_attributes(state: "complete", attempts: 2)
  end

  it "sends the same key with each attempt, with what is not to be done twice" do
    statuses = [500, 200, 200]
    answering { [statuses.shift, {}, ""] }
    define(config: { url: @service.url }) do
      response = connection.post("charges", { amount: 5 }.to_json)
      response.status == 200 ? connection.get("charges") : response
    end
    step
    id = sql("SELECT workflow_step_id FROM tasker_workflow_steps").first.fetch("workflow_step_id")

    expect(keys).to eq(["tasker-#{id}", "tasker-#{id}", nil])
  end

  it "sends its key with one request of an attempt, and leaves the handler's own" do
    answering
    define(config: { url: @service.url }) do
      connection.post("charges", "1")
      connection.post("charges", "1")
      connection.post("charges", "2")
      connection.post("charges", "3") { |request| request.headers["Idempotency-Key"] = "mine" }
    end
    step

    expect(keys).to match([/\Atasker-\d+\z/, keys.first, nil, "mine"])
  end

  it "does not ask a host that fails, until its time is over" do
    statuses = [500, 500, 200]
    answering { [statuses.shift || 200, {}, ""] }
    define_get(retry_limit: 5, config: { circuit_breaker: { failures: 2, open_seconds: 1 } })

    expect([step.state, @service.requests.size]).to eq(["complete", 3])
    expect(failures.map { |failure| failure["code"] }).to eq(["HTTP_500", "HTTP_500", "CIRCUIT_OPEN", nil])
    expect(failures[2]["seconds"].to_f).to be_between(0.0, 1.0).exclusive
  end

  it "does not ask a host that cannot be reached" do
    url = @service.url
    @service.close
    define_get(retry_limit: 3, config: { url: url, circuit_breaker: { failures: 1, open_seconds: 0.2 } })
    step

    expect(failures.map { |failure| failure.values_at("class", "code") })
      .to eq([["Faraday::ConnectionFailed", nil], ["TaskerCore::RetryableError", "CIRCUIT_OPEN"],
              ["Faraday::ConnectionFailed", nil]])
  end

  it "goes on asking a host that refuses requests" do
    answering(404)
    define(config: { url: @service.url, circuit_breaker: { failures: 1 } }) do
      Array.new(2) { connection.get("missing").status }
    end

    expect(step.results).to eq([404, 404])
  end

  it "fails for good where its config is not understood" do
    define_get(config: { timeout_seconds: "soon" })

    expect(step).to have_attributes(state: "error", attempts: 1, error: include("code" => "INVALID_CONFIG"))
  end

  it "names a handler without process as any other" do
    stub_const("Lazy", Class.new(TaskerCore::StepHandler::Api))

    expect { TaskerCore.define("lazy") { step "only", handler: "Lazy" } }
      .to raise_error(TaskerCore::HandlerNotFound, /Lazy has no public method process/)
  end
end

RSpec.describe TaskerCore::StepHandler::Api do
  it "needs Faraday only where a request is made, and says so" do
    program = <<~RUBY
      require "tasker_core"
      missing = LoadError.new("no faraday")
      missing.define_singleton_method(:path) { "faraday" }
      TaskerCore::Internal::Http::Connections.define_singleton_method(:require) { |_name| raise missing }
      class Fetch < TaskerCore::StepHandler::Api
        def process(*) = connection
      end
      print defined?(Faraday).inspect
      begin
        Fetch.new(config: {}).process(nil, nil, nil)
      rescue TaskerCore::BlockedError => e
        print e.error_code, e.message
      end
    RUBY
    said, = Open3.capture2e(RbConfig.ruby, "-w", "-I#{File.expand_path("../../lib", __dir__)}", "-e", program)

    expect(said).to match(/\AnilFARADAY_MISSING.*gem "faraday" to the Gemfile \(Debian: ruby-faraday\)/)
  end
end
