# frozen_string_literal: true

require "tmpdir"

RSpec.describe "A table of exception classes", :database do
  include Workflows

  before { stub_const("CardStolen", Class.new(RuntimeError)) }
  after do
    TaskerCore.configure do |c|
      c.error_classes = {}
      c.environment = TaskerCore::Configuration.new.environment
    end
  end

  def configure(**table)
    TaskerCore.configure { |c| c.error_classes = table }
  end

  # Template "one" of one step, whose handler fails.
  def define(template: {}, error: CardStolen, **options)
    handler("OnlyHandler") { raise error, "no" }
    TaskerCore.define("one", error_classes: template) do
      step "only", handler: "OnlyHandler", retry_limit: 2, retry: Workflows::RETRY_AT_ONCE, **options
    end
  end

  def outcome
    task_id = TaskerCore.submit("one")
    working { TaskerCore.wait(task_id, timeout: 30) }
    step = TaskerCore.result(task_id).step("only")
    @summary = TaskerCore.explain(task_id, step: "only").fetch("steps").first.fetch("summary")
    [step.state, step.attempts, step.error["kind"], step.error["classified_by"]]
  end

  it "says nothing where there is none" do
    define

    expect(outcome).to eq(["error", 2, "retryable", nil])
  end

  it "of a step makes failures permanent, which the explanation says" do
    define(error_classes: { CardStolen => :permanent })

    expect(outcome).to eq(["error", 1, "permanent", "error_classes of the step: CardStolen"])
    expect(@summary).to include("CardStolen: no (permanent by error_classes of the step: CardStolen)")
  end

  it "of a template goes for steps whose own does not know the exception" do
    define(template: { "RuntimeError" => "blocked" }, error_classes: { "KeyError" => "permanent" })

    expect(outcome).to eq(["blocked", 1, "blocked", "error_classes of the template: RuntimeError"])
  end

  it "of the configuration goes where no other knows the exception" do
    configure(RuntimeError: "permanent")
    define(template: { "IOError" => "blocked" })

    expect(outcome).to eq(["error", 1, "permanent", "error_classes of the configuration: RuntimeError"])
  end

  it "of a step comes before the template's, and that before the configuration's" do
    configure(CardStolen: "permanent")
    define(template: { CardStolen => :permanent }, error_classes: { StandardError => :blocked })

    expect(outcome).to eq(["blocked", 1, "blocked", "error_classes of the step: StandardError"])
  end

  it "makes retryable what is permanent otherwise" do
    define(error: NotImplementedError, error_classes: { "NotImplementedError" => "retryable" })

    expect(outcome).to eq(["error", 2, "retryable", "error_classes of the step: NotImplementedError"])
  end

  it "leaves what a handler says itself" do
    define(error: TaskerCore::PermanentError, error_classes: { "StandardError" => "retryable" })

    expect(outcome).to eq(["error", 1, "permanent", nil])
  end

  it "leaves a missing handler class what it is" do
    define(error_classes: { "StandardError" => "permanent" })
    hide_const("OnlyHandler")

    expect(outcome).to eq(["blocked", 1, "blocked", nil])
  end

  it "stands in YAML, where an environment adds to it" do
    handler("OnlyHandler") { |task| raise Object.const_get(task.context.fetch("raise")), "no" }
    yaml = <<~YAML
      name: one
      error_classes: {Net::ReadTimeout: retryable, RuntimeError: permanent}
      step_templates:
        - name: only
          handler_class: OnlyHandler
          default_retry_limit: 2
          retry: {backoff: list, delays_seconds: [0.01]}
      environments:
        test:
          error_classes: {CardStolen: blocked}
    YAML
    Dir.mktmpdir do |folder|
      File.write(File.join(folder, "one.yaml"), yaml)
      TaskerCore.configure { |c| c.environment = "test" }
      TaskerCore.load_templates(folder)
    end
    kinds = %w[CardStolen RuntimeError KeyError].map { |name| run("one", context: { raise: name }).step("only").state }

    expect(kinds).to eq(%w[blocked error error])
  end
end
