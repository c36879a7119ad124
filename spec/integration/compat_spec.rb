# frozen_string_literal: true

require "open3"
require "rbconfig"
require "tasker_core/compat"
require "tasker_core/testing/circuit_breakers"

RSpec.describe "Handlers and templates of the Rails engine Tasker", :database do
  include Workflows
  OptionalGem.needed_by(self, "faraday")

  around do |example|
    HttpService.open(->(request) { @answer.call(request) }) { |service| (@service = service) && example.run }
  end

  before do
    @answer = ->(_request) { [200, { "Content-Type" => "application/json" }, '["tea","cup"]'] }
    TaskerCore.configure { |c| c.environment = "test" }
    stub_const("AncestorShop", Module.new)
    load fixture("shop.rb")
  end

  after do
    @subscriptions&.each { |subscription| Tasker::Events::Publisher.instance.unsubscribe(subscription) }
    Tasker::HandlerFactory.instance.clear!
    TaskerCore.configure { |c| c.environment = TaskerCore::Configuration.new.environment }
    TaskerCore::Testing::CircuitBreakers.reset
  end

  def fixture(name)
    File.expand_path("../fixtures/compat/#{name}", __dir__)
  end

  # The ancestor's templates have no variables in them; what stands there goes to a handler as it is.
  def point_at_service
    url = @service.url
    [AncestorShop::StepHandler::FetchCart, AncestorShop::StepHandler::FetchProducts].each do |handler|
      handler.prepend(Module.new do
        define_method(:process) do |task, sequence, step|
          config.url = url
          super(task, sequence, step)
        end
      end)
    end
  end

  def request(name: "shop/order_handler", context: { cart_id: 5 }, **parts)
    Tasker::Types::TaskRequest.new(name: name, context: context, namespace: "shop", version: "1.2.0", **parts)
  end

  def finish(task)
    working { TaskerCore.wait(task.task_id, timeout: Workflows::PATIENCE_SECONDS) }
    TaskerCore.result(task.task_id)
  end

  # A watcher, whose subscriptions end with the example.
  def watch
    publisher = Tasker::Events::Publisher.instance
    subscriptions = @subscriptions = []
    collector = Object.new
    collector.define_singleton_method(:subscribe) { |name, &block| subscriptions << publisher.subscribe(name, &block) }
    AncestorShop::Watcher.subscribe(collector)
  end

  it "run a task whose steps stand in YAML" do
    point_at_service
    task = AncestorShop::OrderHandler.new.initialize_task!(request(initiator: "web", tags: %w[a b]))
    result = finish(task)

    expect(task).to have_attributes(task_id: be_positive, persisted?: true, status: "complete", complete: true)
    expect(result.steps.to_h { |step| [step.name, step.results] }).to match(
      "fetch_cart" => { "cart" => %w[tea cup] },
      "fetch_products" => { "status" => 200, "body" => '["tea","cup"]',
                            "response_headers" => include("content-type" => "application/json") },
      "check_stock" => { "in_stock" => %w[tea cup], "cart_id" => 5 },
      "place_order" => { "order_id" => "order-#{task.task_id}", "items" => 2, "attempts" => 0, "limit" => 3 }
    )
    expect(@service.requests.map(&:path)).to contain_exactly("/cart?cart_id=5&shop=7", "/products")
  end

  it "merge what the environment says of a step, by its name" do
    steps = AncestorShop::OrderHandler.task_template.steps.to_h { |step| [step["name"], step["handler_config"]] }

    expect(steps["fetch_cart"]).to eq("type" => "api", "url" => "${SHOP_URL}", "params" => { "shop" => 7 },
                                      "retry_delay" => 0.01)
    expect(steps["fetch_products"]["url"]).to eq("https://shop.invalid/v1")
  end

  it "load as templates without their task handler" do
    template = TaskerCore.load_templates(fixture("order_handler.yaml")).first

    expect(template).to eq(AncestorShop::OrderHandler.task_template)
  end

  it "run a task whose steps stand in Ruby" do
    point_at_service
    handler = Tasker::HandlerFactory.instance.get("refund", namespace_name: "shop", version: "0.2.0")
    task = handler.initialize_task!(Tasker::Types::TaskRequest.new(name: "refund", context: { payment_id: 1 }))

    expect(finish(task).results_of("count")).to eq(200)
    expect(@service.requests.map(&:path)).to eq(["/products?all=1"])
  end

  it "are known to workers and submits before anybody has made a handler" do
    expect(TaskerCore.templates.map(&:to_s)).to contain_exactly("shop/shop/order_handler 1.2.0", "shop/refund 0.2.0")
    expect(TaskerCore.submit("refund", namespace: "shop", context: { payment_id: 1 })).to be_positive
    expect { TaskerCore.submit("refund", namespace: "shop", context: {}) }
      .to raise_error(TaskerCore::InvalidContext, /payment_id/)
  end

  it "are found by namespace, name and version" do
    factory = Tasker::HandlerFactory.instance

    expect(factory.get("shop/order_handler", namespace_name: :shop, version: "1.2.0"))
      .to be_a(AncestorShop::OrderHandler)
    expect(factory.list_handlers(namespace: "shop").transform_values(&:keys))
      .to eq("refund" => ["0.2.0"], "shop/order_handler" => ["1.2.0"])
    expect([factory.registered_namespaces, factory.stats[:total_handlers]]).to eq([["shop"], 2])
    expect { factory.get("refund", namespace_name: "shop", version: "0.1.0") }
      .to raise_error(Tasker::ProceduralError, %r{registered as shop/refund 0.1.0; did you mean "shop/refund 0.2.0"})
    expect { factory.register("refund", "Other", namespace_name: "shop", version: "0.2.0") }
      .to raise_error(Tasker::ProceduralError, /is registered as AncestorShop::RefundHandler, not Other/)
  end

  it "make no task of a context that violates the schema, and say why" do
    task = AncestorShop::OrderHandler.new.initialize_task!(request(context: { cart_id: "five" }))

    expect(task).to have_attributes(task_id: nil, persisted?: false, valid?: false, status: "pending")
    expect([task.errors.any?, task.errors[:context].first]).to match([true, /cart_id/])
    expect(count("tasker_tasks")).to eq(0)
  end

  it "refuse a request for another handler, and what never had an effect" do
    expect { AncestorShop::OrderHandler.new.initialize_task!(request(name: "refund")) }
      .to raise_error(Tasker::ProceduralError, %r{for shop/refund 1.2.0, .* makes tasks of shop/shop/order_handler})
    expect { request(bypass_steps: ["fetch_cart"]) }.to raise_error(Tasker::Error, /bypass_steps .*TaskerCore.skip/)
    expect { request(complete: true) }.to raise_error(Tasker::Error, /status is "complete"/)
    expect { request(nmae: "x") }.to raise_error(TaskerCore::InvalidArgument, /unknown option nmae/)
    expect { AncestorShop::RefundHandler.new.handle(nil) }.to raise_error(Tasker::ProceduralError, /workers/)
  end

  it "tell subscribers by the ancestor's names, once each" do
    point_at_service
    AncestorShop::StepHandler::CheckStock.define_method(:config) { { "limit" => 1 } }
    watcher = watch
    first = finish(AncestorShop::OrderHandler.new.initialize_task!(request))
    AncestorShop::StepHandler::CheckStock.define_method(:config) { { "limit" => 2 } }
    second = finish(AncestorShop::OrderHandler.new.initialize_task!(request))
    told = Array.new(watcher.told.size) { watcher.told.pop }

    expect([first.state, second.state]).to eq(%w[error complete])
    expect(told.map { |name, *rest| [name, rest.first] }.tally).to eq(
      ["step.completed", "fetch_cart"] => 2, ["step.completed", "fetch_products"] => 2,
      ["step.failed", "check_stock"] => 1, ["step.completed", "check_stock"] => 1,
      ["order.placed", %w[tea cup]] => 1, ["step.completed", "place_order"] => 1,
      ["task.completed", "shop/order_handler"] => 1
    )
    expect(told).to include(["step.failed", "check_stock", "too many", "TaskerCore::PermanentError"],
                            ["step.completed", "fetch_cart", { "cart" => %w[tea cup] }, 1],
                            ["task.completed", "shop/order_handler", 4, second.task_id])
  end

  it "treat a permanent error as permanent, and wait as long as a retryable one says" do
    point_at_service
    task = AncestorShop::OrderHandler.new.initialize_task!(request(context: { cart_id: 1, fail: true }))
    step = finish(task).step("place_order")

    expect(step).to have_attributes(state: "error", attempts: 1, error: include("retry_after_s" => 1.0))
  end

  it "wait longer from attempt to attempt after answers that do not say how long" do
    statuses = [429, 503, 500, 200]
    @answer = ->(request) { [request.path.start_with?("/cart") ? statuses.shift : 200, {}, "[]"] }
    point_at_service
    task = AncestorShop::OrderHandler.new.initialize_task!(request)
    finish(task)
    waits = sql("SELECT error->>'retry_after_s' AS seconds FROM tasker_attempts WHERE error->>'code' LIKE 'HTTP%' " \
                "ORDER BY attempt")

    expect(waits.map { |row| row["seconds"]&.to_f }).to eq([0.01, 0.02, nil])
  end
end

RSpec.describe Tasker do
  it "is there only where it is asked for" do
    program = 'require "tasker_core"; print defined?(Tasker).inspect; require "tasker_core/compat"; ' \
              "print Tasker::StepHandler::Api, defined?(Faraday).inspect"
    said, = Open3.capture2e(RbConfig.ruby, "-w", "-I#{File.expand_path("../../lib", __dir__)}", "-e", program)

    expect(said).to eq("nilTasker::StepHandler::Apinil")
  end
end
