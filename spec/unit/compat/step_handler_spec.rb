# frozen_string_literal: true

require "tasker_core/compat"

RSpec.describe Tasker::StepHandler::Base do
  let(:step) { Struct.new(:results).new(nil) }

  it "is executed by hand as a worker does it" do
    handler = Class.new(described_class) do
      def process(task, _sequence, _step) = task
      def process_results(step, output, initial) = step.results = [output, initial]
    end
    handler.new.handle("task", nil, step)

    expect(step.results).to eq(["task", nil])
  end

  it "has the config of its own initialize where the step has none" do
    handler = Class.new(described_class) { def initialize(config: { "limit" => 3 }) = super }

    expect([handler.new(config: {}).config, handler.new(config: { "limit" => 5 }).config])
      .to eq([{ "limit" => 3 }, { "limit" => 5 }])
  end
end

RSpec.describe Tasker::StepHandler::Api do
  let(:step) { Struct.new(:results, :attempts).new(nil, 2) }

  # What is raised when the handler returns something.
  def failure(output, **config)
    handler = Class.new(described_class) { define_method(:process) { |*| output } }
    handler.new(config: described_class::Config.new(url: "https://bank.example", **config)).handle(nil, nil, step)
    nil
  rescue TaskerCore::HandlerError => e
    e
  end

  it "takes a hash with a status for a response" do
    expect(failure({ status: 404, body: "no" }))
      .to have_attributes(class: Tasker::PermanentError, error_code: "HTTP_404")
    expect(failure({ status: 429, headers: { "Retry-After" => "7" } }).retry_after).to eq("7")
    expect(failure({ status: 200, body: "fine" })).to be_nil
    expect(step.results).to eq(status: 200, body: "fine")
    expect(failure({ status: "open" })).to be_nil
  end

  it "goes by retry_delay after 429 and 503 that do not say when, unless it is turned off" do
    expect(failure({ status: 503 }, retry_delay: 2.0).retry_after).to eq(8.0)
    expect(failure({ status: 503 }, retry_delay: 200).retry_after).to eq(300)
    expect([failure({ status: 503 }), failure({ status: 500 }, retry_delay: 2.0),
            failure({ status: 503 }, retry_delay: 2.0, enable_exponential_backoff: false)].map(&:retry_after))
      .to all(be_nil)
  end

  it "makes a config of what stands in a template" do
    config = described_class.new(config: { "type" => "api", "url" => "https://bank.example", "merchant" => 7,
                                           "headers" => nil }).config

    expect(config).to have_attributes(url: "https://bank.example", params: {}, retry_delay: nil,
                                      headers: include("Accept" => "application/json"))
    expect([config["merchant"], config[:url], config["none"]]).to eq([7, "https://bank.example", nil])
  end
end

RSpec.describe Tasker::ConfiguredTask do
  after { TaskerCore.registry.clear }

  it "looks for its template below the working directory, by its name" do
    stub_const("BillingAPI::HTTPOrder", Class.new(described_class))

    expect(BillingAPI::HTTPOrder.yaml_path)
      .to eq(File.join(Dir.pwd, "config/tasker/tasks/billing_api/http_order.yaml"))
    expect(TaskerCore.templates).to eq([])
    expect { BillingAPI::HTTPOrder.new }.to raise_error(Tasker::InvalidTaskHandlerConfig, /http_order.yaml: cannot be/)
  end
end

RSpec.describe Tasker::TaskHandler do
  let(:log) { StringIO.new }

  before { TaskerCore.configure { |c| c.logger = Logger.new(log) } }

  after do
    TaskerCore.configure { |c| c.logger = TaskerCore::Configuration.new.logger }
    Tasker::HandlerFactory.instance.clear!
    TaskerCore.registry.clear
  end

  def define(&block)
    stub_const("OnlyStep", Class.new(Tasker::StepHandler::Base) { def process(*) = nil })
    stub_const("OnlyTask", Class.new { include Tasker::TaskHandler }).class_eval(&block)
  end

  it "is no template before it has a name and steps" do
    define { register_handler "one" }
    before = TaskerCore.templates
    OnlyTask.define_step_templates { |templates| templates.define(name: "only", handler_class: OnlyStep) }

    expect([before, TaskerCore.templates.map(&:to_s)]).to eq([[], ["default/one 0.1.0"]])
  end

  it "warns of hooks that are not called" do
    define do
      register_handler "one"
      define_step_templates { |templates| templates.define(name: "only", handler_class: OnlyStep) }
      def update_annotations(task, sequence, steps); end
    end
    2.times { TaskerCore.templates }

    expect(log.string.scan(/OnlyTask: update_annotations: not called/).size).to eq(1)
  end

  it "names the class that a step asks for in vain, and keeps nobody from others" do
    define do
      register_handler "one"
      define_step_templates { |templates| templates.define(name: "only", handler_class: "NoStep") }
    end

    2.times { expect(TaskerCore.templates).to eq([]) }
    expect { TaskerCore.submit("one") }.to raise_error(TaskerCore::HandlerNotFound, /OnlyTask.*only.*NoStep/)
    expect(log.string.scan(/ERROR.*OnlyTask.*NoStep/).size).to eq(1)
  end
end
