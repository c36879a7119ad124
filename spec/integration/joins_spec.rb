# frozen_string_literal: true

RSpec.describe "Join policies", :database do
  include CommandLine
  include Workflows

  # Steps "a", "b" and "c", of which those that the task's context names fail, and "last", which joins them.
  def define_joined(join)
    handler("Part") do |task, _, step|
      Array(task.context["failing"]).include?(step.name) ? raise(TaskerCore::PermanentError, "no") : step.name
    end
    handler("Last") do |_, sequence|
      %w[a b c].to_h { |name| [name, [sequence.state_of(name), sequence.results_of(name)]] }
    end
    TaskerCore.define("joined") do
      %w[a b c].each { |name| step name, handler: "Part", skippable: true }
      step "last", handler: "Last", depends_on: %w[a b c], join: join
      step "after", handler: "Part", depends_on: "last"
    end
  end

  def states(result)
    result.steps.to_h { |step| [step.name, step.state] }
  end

  it "starts a step that waits for all to be done after failures, which it sees" do
    define_joined("all_done")
    result = run("joined", context: { failing: %w[a c] })
    expect(result.state).to eq("complete")
    expect(result.results_of("last")).to eq("a" => ["error", nil], "b" => %w[complete b], "c" => ["error", nil])
    expect(TaskerCore.explain(result.task_id)["summary"])
      .to match(/\Adone since .*: 3 of 5 steps are complete, 2 are in error and nothing needed them/)
  end

  it "says what a step waits for that can start no more" do
    define_joined({ quorum: 2 })
    result = run("joined", context: { failing: %w[a c] })
    expect(states(result)).to eq("a" => "error", "b" => "complete", "c" => "error", "last" => "pending",
                                 "after" => "pending")
    expect(result.state).to eq("error")
    expect(TaskerCore.explain(result.task_id, step: "last")["steps"].first["summary"])
      .to eq("cannot start: it starts when 2 of its parents are complete, and in error are: a (error), c (error)")
    expect(TaskerCore.explain(result.task_id, step: "after")["steps"].first["summary"])
      .to eq("waits for its parent last (pending); further up: a (error), c (error)")
  end

  it "skips what needs a step that was skipped, and goes on where it is not needed" do
    define_joined("none_failed")
    task_id = TaskerCore.submit("joined")
    TaskerCore.skip(task_id, "a", actor: "ada", reason: "not today")
    result = working { TaskerCore.wait(task_id, timeout: 30) } && TaskerCore.result(task_id)
    expect(states(result)).to eq("a" => "skipped", "b" => "complete", "c" => "complete", "last" => "complete",
                                 "after" => "complete")
    expect(result.results_of("last")["a"]).to eq(["skipped", nil])

    task_id = TaskerCore.submit("joined")
    %w[a b c].each { |name| TaskerCore.skip(task_id, name) }
    expect(TaskerCore.explain(task_id, step: "last")["steps"].first["summary"])
      .to eq("skipped: it starts when none of its parents failed and one is complete; a, b, c were skipped")
    expect(TaskerCore.status(task_id)).to have_attributes(state: "complete", steps_by_state: { "skipped" => 5 })
    expect(TaskerCore.explain(task_id, step: "after")["steps"].first["summary"])
      .to eq("skipped: it starts when all its parents are complete; last was skipped")
  end

  it "is the same whichever of two worker processes ends a parent" do
    workflow = File.join(CommandLine::ROOT, "spec/fixtures/joins_workflow.rb")
    load workflow
    failing = [[], %w[a], %w[b c], %w[a b c]]
    task_ids = in_two_processes(workflow) do
      ids = failing.cycle.first(40).map { |names| TaskerCore.submit("joins", context: { failing: names }) }
      ids.each { |id| TaskerCore.wait(id, timeout: 60) }
    end

    seen = task_ids.map { |id| states(TaskerCore.result(id)).values_at(*%w[all_done any_complete none_failed quorum]) }
    expected = { 0 => %w[complete complete complete complete], 1 => %w[complete complete pending complete],
                 2 => %w[complete complete pending pending], 3 => %w[complete pending pending pending] }
    expect(seen).to eq(failing.cycle.first(40).map { |names| expected.fetch(names.size) })
    expect(sql("SELECT DISTINCT worker_id FROM tasker_attempts").size).to eq(2)
    expect(TaskerCore.client.doctor["ok"]).to be(true)
  end

  it "is checked when a template is loaded" do
    expect { define_joined("any_compete") }
      .to raise_error(TaskerCore::InvalidTemplate, / join .*did you mean "any_complete"/)
    expect { define_joined({ quorum: 4 }) }
      .to raise_error(TaskerCore::InvalidTemplate, / join\.quorum .* is 4; allowed: .*1 to 3/)
  end
end
