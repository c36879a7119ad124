# frozen_string_literal: true

require "tasker_core/testing/attempt"

RSpec.describe TaskerCore::Testing::Attempt do
  after { TaskerCore.registry.clear }

  # Defines a handler class for the time of the example.
  def handler(name = "Tested", &process)
    stub_const(name, Class.new(TaskerCore::StepHandler::Base) do
      define_method(:process) { |task, sequence, step| process.call(task, sequence, step) }
    end)
  end

  def run(of: nil, context: {}, results: {}, **options, &process)
    described_class.of(handler(&process), of: of, context: context, results: results, **options)
  end

  it "gives the handler context, results of other steps and the number of the attempt" do
    attempt = run(context: { order: { id: 7 } }, results: { charge: { id: "p" } }, attempt: 3) do |task, sequence, step|
      [task.context, sequence.results_of("charge"), sequence.state_of("charge"), step.attempt, step.attempts]
    end
    expect(attempt.results).to eq([{ "order" => { "id" => 7 } }, { "id" => "p" }, "complete", 3, 2])
    expect([attempt.state, attempt.complete?, attempt.error, attempt]).to match(["complete", true, nil, be_frozen])
  end

  it "says how an attempt failed, and what would become of the step" do
    failing = lambda do |error, **options|
      attempt = run(**options) { raise error }
      [attempt.state, attempt.error["kind"], attempt.error["class"], attempt.results]
    end
    expect(failing.call(RuntimeError)).to eq(["waiting_for_retry", "retryable", "RuntimeError", nil])
    expect(failing.call(RuntimeError, attempt: 3)).to eq(["error", "retryable", "RuntimeError", nil])
    expect(failing.call(RuntimeError, attempt: 3, retry_limit: 4).first).to eq("waiting_for_retry")
    expect(failing.call(TaskerCore::PermanentError)).to eq(["error", "permanent", "TaskerCore::PermanentError", nil])
    expect(failing.call(TaskerCore::BlockedError).first).to eq("blocked")
  end

  it "knows code, context and time of a failure, and the tables of exception classes" do
    attempt = run { raise TaskerCore::RetryableError.new("no", retry_after: 3, error_code: "BUSY", context: { a: 1 }) }
    expect(attempt.error)
      .to include("message" => "no", "retry_after_s" => 3.0, "code" => "BUSY", "context" => { "a" => 1 })
    handler("Odd") { raise KeyError, "k" }
    TaskerCore.define("odd") { step "odd", handler: "Odd", error_classes: { "KeyError" => "permanent" } }
    odd = described_class.of("odd", of: "odd", context: {}, results: {})
    expect([odd.state, odd.error["classified_by"]]).to eq(["error", "error_classes of the step: KeyError"])
  end

  it "executes a step of a template with its config, branches and parents" do
    handler("Way") { |_, sequence, step| [sequence.results_of("a"), step.config, step.name, step.take("air")] }
    TaskerCore.define("ways") do
      step "a", handler: "Way"
      step "way", handler: "Way", depends_on: "a", decides: true, config: { url: "x" }
      %w[air road].each { |name| step name, handler: "Way", depends_on: "way" }
    end
    attempt = described_class.of(:way, of: "ways", context: {}, results: { "a" => 1 })
    expect([attempt.results, attempt.taken]).to eq([[1, { "url" => "x" }, "way", ["air"]], ["air"]])
  end

  it "keeps what the handler attached, spent, added and where it has come" do
    attempt = run do |_, _, step|
      step.attach("log", json: 1)
      step.attach("log", json: 2)
      step.spend(1.5)
      step.spend(1)
      step.checkpoint(cursor: step.cursor.to_i + 1, data: { "n" => 1 })
      step.add("more", like: "other", inputs: { page: 1 })
      step.cursor
    end
    expect(attempt.artifacts).to eq([{ "name" => "log", "media_type" => "application/json", "json" => 2 }])
    expect([attempt.spent, attempt.results]).to eq([2.5, 1])
    expect(attempt.checkpoints).to eq([{ "cursor" => 1, "data" => { "n" => 1 } }])
    expect(attempt.added).to match([a_hash_including("name" => "more", "like" => "other", "inputs" => { "page" => 1 })])
  end

  it "waits for what is not there, and goes on with what is" do
    waiting = ->(_, _, step) { [step.wait_for("ok", timeout: 9), step.waits, step.data] }
    attempt = run(&waiting)
    expect([attempt.state, attempt.waits_for, attempt.results])
      .to eq(["waiting", { "signal" => "ok", "after_s" => 9.0 }, nil])
    options = { attempt: 2, signals: { ok: { by: "mara" } }, waits: 1, data: [1] }
    expect(run(**options, &waiting).results).to eq([{ "by" => "mara" }, 1, [1]])
    expect(run(attempt: 2, timed_out: true, &waiting).error).to include("code" => "SIGNAL_TIMEOUT")
    expect(run { |_, _, step| step.sleep_for(60) }.waits_for).to eq("after_s" => 60.0)
  end

  it "gives the handler an item, inputs, items of a map step and results of workflows" do
    expect(run(item: 7, item_index: 2) { |_, _, step| [step.item, step.item_index, step.name] }.results)
      .to eq([7, 2, "tested[2]"])
    expect(run(inputs: { page: 1 }) { |_, _, step| [step.inputs, step.item] }.results).to eq([{ "page" => 1 }, nil])
    items = run(items: { each: [10, 20] }) { |_, sequence| sequence.each_item("each", batch: 1).sum(&:results) }
    expect(items.results).to eq(30)
    runs = ->(_, _, step) { step.run_workflow("billing") }
    expect(run(workflows: { billing: { "bill" => 1 } }, &runs).results).to eq("bill" => 1)
    expect(run(&runs).waits_for).to include("signal" => "workflow billing")
  end

  it "executes a step that runs a workflow by its template" do
    TaskerCore.define("outer") { step "inner", workflow: "billing" }
    attempt = described_class.of("inner", of: "outer", context: {}, results: {}, workflows: { billing: { "a" => 1 } })
    expect(attempt.results).to eq("a" => 1)
  end

  it "tells a handler that its attempt was ended by others" do
    attempt = run(cancelled: true) { |_, _, step| step.check_cancelled! }
    expect([attempt.state, attempt.error["message"]]).to eq(["error", "the attempt was ended by others"])
  end

  it "executes what a worker would hand to Active Job" do
    handler { "here" }.executor(:active_job, queue: "rendering")

    attempt = described_class.of(Tested, of: nil, context: {}, results: {})
    expect([attempt.state, attempt.results]).to eq(%w[complete here])
  end

  it "refuses what is unknown, and keeps a handler's mistakes as failures" do
    expect { run(contxt: 1) { nil } }
      .to raise_error(TaskerCore::InvalidArgument, 'unknown option contxt; did you mean "context"?')
    expect { described_class.of("a", of: "none", context: {}, results: {}) }
      .to raise_error(TaskerCore::InvalidArgument, /of is "none", allowed: the name of a template that is loaded/)
    expect { described_class.of(Class.new, of: nil, context: {}, results: {}) }
      .to raise_error(TaskerCore::InvalidArgument, /a class with a name/)
    expect { run(context: { at: Time.now }) { nil } }.to raise_error(TaskerCore::InvalidContext, /context.at/)
    expect { run(attempt: 0) { nil } }.to raise_error(TaskerCore::InvalidArgument, /attempt is 0/)
    expect(run { |_, sequence| sequence.results_of("none") }.error["class"]).to eq("TaskerCore::InvalidArgument")
    expect(run { Time.now }.error).to include("code" => "INVALID_RESULTS")
  end
end
