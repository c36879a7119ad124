# frozen_string_literal: true

require "tmpdir"

RSpec.describe "Steps that handlers add", :database do
  include CommandLine
  include Workflows

  # A step "plan" whose handler is given, a prototype "part" and a step "last".
  def define_plan(part: {}, &plan)
    handler("Plan", &plan)
    handler("Part") { |_, _, step| step.inputs } unless part[:handler]
    handler("Last") { |_, sequence, _| sequence.results_of("one") }
    TaskerCore.define("plan") do
      step "plan", handler: "Plan", retry: Workflows::RETRY_AT_ONCE
      step "part", handler: "Part", dynamic: true, retry: Workflows::RETRY_AT_ONCE, skippable: true, **part
      step "last", handler: "Last", depends_on: "plan"
    end
  end

  def states(result)
    result.steps.to_h { |step| [step.name, step.state] }
  end

  def explained(result, step)
    TaskerCore.explain(result.task_id, step: step)["steps"].first
  end

  def failure_of(result, step)
    result.steps.find { |one| one.name == step }.error
  end

  it "runs them with their inputs, and what they come before waits for them" do
    define_plan do |_, _, step|
      step.add("one", like: "part", inputs: { "page" => 1 }, before: "last")
      step.add("two", like: :part, inputs: [2], depends_on: "one")
    end
    result = run("plan")
    expect(states(result)).to eq("plan" => "complete", "last" => "complete", "one" => "complete", "two" => "complete")
    expect(%w[one two last].map { |name| result.results_of(name) }).to eq([{ "page" => 1 }, [2], { "page" => 1 }])
    expect(explained(result, "two")["summary"]).to end_with("; added by plan, attempt 1")
    expect(TaskerCore.status(result.task_id).steps_total).to eq(4)
    expect(TaskerCore.client.doctor).to include("ok" => true)
  end

  it "adds nothing with an attempt that fails" do
    define_plan do |_, _, step|
      step.add("one", like: "part", before: "last")
      raise "not yet" if step.attempt == 1
    end
    result = run("plan")
    expect(result.results_of("last")).to eq({})
    expect(count("tasker_added_steps")).to eq(1)
    expect(TaskerCore.client.doctor).to include("ok" => true)
  end

  {
    "a prototype that there is not" => [->(s) { s.add("one", like: "parts") },
                                        'adds "one" like "parts"; allowed: steps with dynamic: true: "part"; ' \
                                        'did you mean "part"?'],
    "a parent that is not done" => [->(s) { s.add("one", like: "part", depends_on: "last") }, "and that is pending"],
    "a parent that there is not" => [->(s) { s.add("one", like: "part", depends_on: "lst") }, "there is no such step"],
    "steps that wait for each other" => [lambda { |s|
      s.add("one", like: "part", depends_on: "two")
      s.add("two", like: "part", depends_on: "one")
    }, "wait for each other in a circle"],
    "before a step that runs" => [->(s) { s.add("one", like: "part", before: "plan") }, "and that is in_progress"],
    "before one that it adds as well" => [lambda { |s|
      s.add("one", like: "part", before: "two")
      s.add("two", like: "part")
    }, 'adds "one" before "two", which it adds as well; allowed: steps that are pending, and depends_on: "one" '],
    "a name that there is" => [->(s) { s.add("last", like: "part") },
                               'adds "last", a name that another step of the task has; allowed: '],
    "more than one attempt may" => [->(s) { 200_001.times { |n| s.add("one #{n}", like: "part") } },
                                    "the steps that the handler adds are refused: steps is a list of 200001; " \
                                    "allowed: at most 200000 steps in one attempt"],
    "a name twice" => [->(s) { 2.times { s.add("one", like: "part") } },
                       'name is "one", allowed: a name that was not added before'],
    "an empty name" => [->(s) { s.add("", like: "part") }, 'name is "", allowed: text that is not empty'],
    "what is no name" => [->(s) { s.add("one", like: 7) }, "like is 7, allowed: text that is not empty"],
    "inputs that JSON cannot say" => [->(s) { s.add("one", like: "part", inputs: Float::NAN) }, "inputs of one"],
    "the name of an item" => [->(s) { s.add("a[0]", like: "part") }, "as items of map steps have them"]
  }.each do |what, (plan, message)|
    it "fails an attempt for good that adds #{what}" do
      define_plan { |_, _, step| plan.call(step) }
      result = run("plan")
      expect(failure_of(result, "plan")).to include("code" => "INVALID_GROWTH",
                                                    "message" => a_string_including(message))
      expect(TaskerCore.status(result.task_id).attempts_total).to eq(1)
      expect([states(result)["plan"], count("tasker_added_steps")]).to eq(["error", 0])
      expect(TaskerCore.client.doctor).to include("ok" => true)
    end
  end

  it "lets operators try them again, skip them and give their results, by name" do
    handler("Part") { |_, _, step| step.attempt == 1 ? raise(TaskerCore::PermanentError, "no") : step.name }
    define_plan(part: { handler: "Part" }) do |_, _, step|
      %w[one two three].each { |name| step.add(name, like: "part", before: "last") }
    end
    result = run("plan")
    expect(result.state).to eq("error")
    TaskerCore.skip(result.task_id, "two")
    TaskerCore.resolve(result.task_id, "three", results: 3)
    TaskerCore.retry(result.task_id, step: "one")
    working { TaskerCore.wait(result.task_id, timeout: Workflows::PATIENCE_SECONDS) }
    result = TaskerCore.result(result.task_id)
    expect(states(result)).to include("one" => "complete", "two" => "skipped", "three" => "resolved_manually")
    expect(TaskerCore.client.doctor).to include("ok" => true)
  end

  it "gives each of them the time of the prototype for all its attempts" do
    handler("Part") { |_, _, step| step.name == "one" ? step.wait_for("never") : step.name }
    define_plan(part: { handler: "Part", total_timeout: 0.5 }) do |_, _, step|
      %w[one two].each { |name| step.add(name, like: "part") }
    end
    result = run("plan")
    expect(states(result)).to include("one" => "error", "two" => "complete")
    expect(explained(result, "one")["summary"]).to start_with("did not end within 0.5 s in all")
    expect(count("tasker_step_deadlines")).to eq(0)
    expect(TaskerCore.client.doctor).to include("ok" => true)
  end

  it "begins that time when they get ready, and says how long they have" do
    handler("Part") { |_, _, step| step.wait_for("go") && step.name }
    define_plan(part: { handler: "Part", total_timeout: 3_600 }) do |_, _, step|
      step.add("one", like: "part")
      step.add("two", like: "part", depends_on: "one")
    end
    task_id = TaskerCore.submit("plan")
    working { wait_until("it waits") { TaskerCore.status(task_id).state == "waiting" } }
    explained = TaskerCore.explain(task_id)["steps"].to_h { |step| [step["name"], step["deadline_at"]] }
    expect(explained.values_at("one", "two")).to match([/\A20/, nil])
    TaskerCore.signal(task_id, "go")
    working { TaskerCore.wait(task_id, timeout: Workflows::PATIENCE_SECONDS) }
    expect(states(TaskerCore.result(task_id)).values.uniq).to eq(["complete"])
    expect(count("tasker_step_deadlines")).to eq(0)
  end

  it "ends steps and items in time with two worker processes" do
    workflow = File.join(CommandLine::ROOT, "spec/fixtures/limited_workflow.rb")
    load workflow
    task_ids = in_two_processes(workflow) do
      ids = Array.new(4) { TaskerCore.submit("limited", context: { numbers: [1, 2, 3] }) }
      ids.each { |id| TaskerCore.wait(id, timeout: 60) }
    end
    results = task_ids.map { |id| TaskerCore.result(id) }
    expect(results.map { |result| [result.state, result.results_of("report")] }.uniq)
      .to eq([["complete", { "square" => { "items" => 3, "complete" => 2, "failed" => 1, "skipped" => 0 },
                             "added" => %w[error complete] }]])
    expect(sql("SELECT DISTINCT worker_id FROM tasker_attempts").size).to eq(2)
    expect(count("tasker_step_deadlines")).to eq(0)
    expect(TaskerCore.client.doctor).to include("ok" => true)
  end

  it "is deleted with its task" do
    define_plan { |_, _, step| step.add("one", like: "part") }
    run("plan")
    sql("DELETE FROM tasker_tasks")
    expect([count("tasker_added_steps"), count("tasker_parent_counts")]).to eq([0, 0])
  end

  # The most items that ran at a time, by the lines that they left.
  def most_at_a_time(file)
    File.readlines(file, chomp: true).inject([0]) { |sums, line| sums << (sums.last + (line == "begins" ? 1 : -1)) }.max
  end

  it "works with two worker processes, which together run no more items at a time than may" do
    workflow = File.join(CommandLine::ROOT, "spec/fixtures/growing_workflow.rb")
    load workflow
    folder = Dir.mktmpdir
    notes = Array.new(5) { |number| File.join(folder, number.to_s) }
    task_ids = in_two_processes(workflow) do
      contexts = notes.map { |file| { pages: 10, numbers: (1..20).to_a, notes: file } }
      TaskerCore.submit_all("growing", contexts: contexts).each { |id| TaskerCore.wait(id, timeout: 60) }
    end
    expect(notes.map { |file| most_at_a_time(file) }.max).to eq(2)
    results = task_ids.map { |id| TaskerCore.result(id).results_of("report") }
    expect(results.uniq).to eq([{ "pages" => (1_000..1_009).sum, "squares" => (1..20).sum { |n| n * n },
                                  "square" => { "items" => 20, "complete" => 20, "failed" => 0, "skipped" => 0 } }])
    expect(sql("SELECT DISTINCT worker_id FROM tasker_attempts").size).to eq(2)
    expect(TaskerCore.client.doctor).to include("ok" => true)
  ensure
    FileUtils.remove_entry(folder) if folder
  end
end
