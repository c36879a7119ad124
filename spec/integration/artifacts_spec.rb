# frozen_string_literal: true

RSpec.describe "Artifacts", :database do
  include CommandLine
  include Workflows

  it "are kept with their attempts, those that failed too" do
    define_one do |_task, _sequence, step|
      step.attach("log", uri: "s3://logs/#{step.attempt}", media_type: "text/plain")
      step.attach(:report, json: { rows: step.attempt })
      raise "once more" if step.attempt == 1
    end
    result = run("one")
    artifacts = TaskerCore.artifacts(result.task_id)

    expect(artifacts.map { |one| [one.attempt, one.name, one.media_type, one.json, one.uri] })
      .to eq([[1, "log", "text/plain", nil, "s3://logs/1"], [1, "report", "application/json", { "rows" => 1 }, nil],
              [2, "log", "text/plain", nil, "s3://logs/2"], [2, "report", "application/json", { "rows" => 2 }, nil]])
    expect(artifacts).to all(have_attributes(step_name: "only", step_id: result.task_id << 20, frozen?: true))
    expect(artifacts.map(&:at).uniq.size).to eq(2)
  end

  it "are refused with an exception in the handler, which may go on" do
    wrong = [[:a, {}], [:a, { json: 1, uri: "b" }], ["", { json: 1 }], [:a, { json: Object.new }],
             [:a, { uri: "u" * 2049 }], [:a, { json: "\u0000" }], [:a, { json: 1, media_type: "m" * 129 }]]
    refused = []
    define_one do |_task, _sequence, step|
      wrong.each { |name, options| step.attach(name, **options) rescue refused << $!.class } # rubocop:disable Style
      step.attach("kept", json: nil)
    end
    task_id = run("one").task_id

    invalid = [TaskerCore::InvalidArgument, TaskerCore::InvalidContext]
    expect(refused).to eq(invalid.values_at(0, 0, 0, 1, 0, 1, 0))
    expect(TaskerCore.artifacts(task_id, step: "only").map(&:to_h))
      .to match([hash_including(name: "kept", json: nil, uri: nil)])
  end

  it "are shown by tasker artifacts" do
    define_one { |_task, _sequence, step| step.attach("report", json: { rows: 3 }) }
    id = run("one").task_id.to_s

    expect(tasker("artifacts", id).out.lines.last.split)
      .to eq(["only", "1", "report", "application/json", '{"rows":3}'])
    expect(tasker("artifacts", id, "only", "--json").json).to match([hash_including("name" => "report")])
    expect(TaskerCore.explain(id.to_i, step: "only")["steps"].first).to include(
      "summary" => end_with("; attached: report (application/json, 10 bytes) of attempt 1"),
      "artifacts" => [{ "attempt" => 1, "name" => "report", "media_type" => "application/json", "bytes" => 10,
                        "uri" => nil }]
    )
    expect(tasker("artifacts", id, "other")).to have_attributes(status: 2, err: /step is "other"/)
  end

  it "have names that do not begin as the engine's own" do
    define_one { |_task, _sequence, step| step.attach("tasker.results.1", json: 1) }
    error = run("one").steps.first.error
    expect(error).to include("class" => "TaskerCore::InvalidArgument", "message" => include("tasker."))
  end

  it "are nothing for a task without" do
    define_one { nil }
    expect(tasker("artifacts", run("one").task_id.to_s).out).to eq("no artifacts\n")
  end
end

RSpec.describe "The result of a task that has not completed", :database do
  include Workflows

  it "has what there is, and the state of every step" do
    handler("Works") { "done" }
    handler("Fails") { raise TaskerCore::PermanentError, "no funds" }
    TaskerCore.define("half") do
      step "first", handler: "Works"
      step "second", handler: "Fails", depends_on: "first"
      step "third", handler: "Works", depends_on: "second"
    end
    before = TaskerCore.result(TaskerCore.submit("half"))
    failed = run("half")

    expect(before.steps.map { |step| [step.name, step.state, step.results] })
      .to eq([["first", "enqueued", nil], ["second", "pending", nil], ["third", "pending", nil]])
    expect([failed.state, failed.results_of("first")]).to eq(%w[error done])
    expect(failed.steps.map { |step| [step.state, step.attempts] })
      .to eq([["complete", 1], ["error", 1], ["pending", 0]])
    expect(failed.steps[1].error).to include("message" => "no funds")
  end
end
