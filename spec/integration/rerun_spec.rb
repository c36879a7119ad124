# frozen_string_literal: true

RSpec.describe "Executing a step anew", :database do
  include CommandLine
  include Workflows

  def define_chain
    handler("Enrich") { |_, _, step| { "before" => step.attempts, "waits" => step.waits } }
    handler("Ship") { |_, sequence| sequence.results_of("enrich") }
    handler("Load") { "loaded" }
    TaskerCore.define("chain") do
      step "load", handler: "Load"
      step "enrich", handler: "Enrich", depends_on: "load"
      step "ship", handler: "Ship", depends_on: "enrich"
    end
  end

  def finish(task_id)
    working { TaskerCore.wait(task_id, timeout: 30) }
    TaskerCore.result(task_id)
  end

  it "takes the steps below along, keeps the results above, and those that it replaces as artifacts" do
    define_chain
    task_id = run("chain").task_id
    status = TaskerCore.rerun(task_id, "enrich", actor: "ada", reason: "corrected")
    expect(status).to have_attributes(state: "in_progress", finished_at: nil,
                                      steps_by_state: { "complete" => 1, "enqueued" => 1, "pending" => 1 })
    expect(TaskerCore.explain(task_id, step: "enrich")["steps"].first["summary"])
      .to match(/\Aready since .*, anew because an operator asked for it;/)
    expect(TaskerCore.rerun(task_id, "enrich").steps_by_state).to eq(status.steps_by_state)
    result = finish(task_id)
    expect(result.state).to eq("complete")
    expect(result.results_of("ship")).to eq("before" => 1, "waits" => 0)
    expect(result.steps.map(&:attempts)).to eq([1, 2, 2])
    kept = TaskerCore.artifacts(task_id).map { |one| [one.step_name, one.attempt, one.name, one.json] }
    thrown_away = [1, "tasker.results.1", { "before" => 0, "waits" => 0 }]
    expect(kept).to eq([["enrich", *thrown_away], ["ship", *thrown_away]])
    causes = TaskerCore.explain(task_id, step: "ship")["steps"].first["history"].map { |change| change["cause"] }
    expect(causes - ["parents_completed"]).to eq(%w[claimed succeeded reset claimed succeeded])
    expect(TaskerCore.explain(task_id, step: "enrich")["steps"].first["history"].map { |change| change["detail"] })
      .to include("actor" => "ada", "reason" => "corrected", "rerun_from" => "enrich")
    expect(TaskerCore.client.doctor["ok"]).to be(true)
  end

  it "brings attempts to nothing that run below" do
    started = Thread::Queue.new
    release = Thread::Queue.new
    define_chain
    handler("Ship") do |_, _, step|
      (started << step.attempts) && release.pop if step.attempts.zero?
      step.attempts
    end
    task_id = TaskerCore.submit("chain")
    working do
      started.pop
      TaskerCore.rerun(task_id, "enrich")
      release << true
      TaskerCore.wait(task_id, timeout: 30)
    end
    expect(TaskerCore.result(task_id).results_of("ship")).to eq(1)
    expect(TaskerCore.client.doctor["ok"]).to be(true)
  end

  it "has what handlers waited for forgotten" do
    handler("Nap") do |_, _, step|
      step.sleep_for(0.01, data: step.waits) if step.waits.zero?
      [step.waits, step.attempts]
    end
    TaskerCore.define("nap") { step "nap", handler: "Nap" }
    task_id = run("nap").task_id
    TaskerCore.rerun(task_id, "nap")
    expect(finish(task_id).results_of("nap")).to eq([1, 3])
  end

  describe "of a step that runs a workflow" do
    def define_run(&process)
      handler("Inside", &process)
      TaskerCore.define("inside") { step "only", handler: "Inside" }
      TaskerCore.define("outside") { step "run", workflow: "inside" }
    end

    def children(task_id)
      TaskerCore.status(task_id).children.map { |child| child["state"] }
    end

    it "runs it as another task" do
      define_run { |task, _, _| task.task_id }
      task_id = run("outside").task_id
      TaskerCore.rerun(task_id, "run")
      result = finish(task_id)
      expect(result.results_of("run")).to eq("only" => TaskerCore.status(task_id).children.last["task_id"])
      expect(children(task_id)).to eq(%w[complete complete])
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    it "cancels the one that has not ended" do
      define_run { |_, _, step| step.wait_for("go") }
      task_id = TaskerCore.submit("outside")
      working do
        wait_until("it waits") { children(task_id) == ["waiting"] }
        TaskerCore.rerun(task_id, "run")
        wait_until("another one waits") { children(task_id) == %w[cancelled waiting] }
        TaskerCore.signal(TaskerCore.status(task_id).children.last["task_id"], "go", 7)
        TaskerCore.wait(task_id, timeout: 30)
      end
      expect(TaskerCore.result(task_id).results_of("run")).to eq("only" => 7)
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end
  end

  it "is refused where a task was undone" do
    handler("Pay") { 1 }
    handler("Fail") { raise TaskerCore::PermanentError, "no" }
    handler("Refund") { 2 }
    TaskerCore.define("bought") do
      step "pay", handler: "Pay", compensate_with: "Refund"
      step "ship", handler: "Fail", depends_on: "pay"
    end
    task_id = TaskerCore.submit("bought")
    working { wait_until("it is being undone") { TaskerCore.status(task_id).compensated_by } }
    expect { TaskerCore.rerun(task_id, "ship") }.to raise_error(TaskerCore::InvalidTransition, /undone/)
  end

  it "is refused where nothing could come of it, and changes nothing" do
    define_chain
    task_id = TaskerCore.submit("chain")
    expect { TaskerCore.rerun(task_id, "enrihc") }.to raise_error(TaskerCore::InvalidArgument, /did you mean "enrich"/)
    expect { TaskerCore.rerun(4_711, "load") }.to raise_error(TaskerCore::NotFound)
    TaskerCore.cancel(task_id)
    expect { TaskerCore.rerun(task_id, "load") }.to raise_error(TaskerCore::InvalidTransition, /cancelled.*rerun/)
  end

  describe "of a task to which steps were added" do
    before do
      handler("Plan") do |_, _, step|
        step.add("one", like: "part", before: "last")
        step.add("two", like: "part", depends_on: "one")
      end
      handler("Part") { |_, _, step| [step.name, step.attempt] }
      handler("Last") { |_, sequence| sequence.results_of("one") }
      TaskerCore.define("plan") do
        step "plan", handler: "Plan"
        step "part", handler: "Part", dynamic: true
        step "last", handler: "Last", depends_on: "plan"
      end
    end

    it "takes along what was added below, and what waits for that" do
      task_id = run("plan").task_id
      expect(TaskerCore.rerun(task_id, "one").steps_by_state)
        .to eq("complete" => 1, "enqueued" => 1, "pending" => 2)
      result = finish(task_id)
      expect(result.steps.to_h { |step| [step.name, [step.attempts, step.results]] })
        .to match("plan" => [1, anything], "last" => [2, ["one", 2]], "one" => [2, ["one", 2]],
                  "two" => [2, ["two", 2]])
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    it "leaves what was added beside" do
      task_id = run("plan").task_id
      TaskerCore.rerun(task_id, "last")
      expect(finish(task_id).steps.to_h { |step| [step.name, step.attempts] })
        .to eq("plan" => 1, "last" => 2, "one" => 1, "two" => 1)
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    it "retires what the step itself has added, which adds it anew", :aggregate_failures do
      task_id = run("plan").task_id
      handler("Plan") { |_, _, step| %w[one three].each { |name| step.add(name, like: "part", before: "last") } }
      expect(TaskerCore.rerun(task_id, "plan", reason: "a new plan").steps_by_state)
        .to eq("enqueued" => 1, "pending" => 1)
      result = finish(task_id)
      expect(result.steps.to_h { |step| [step.name, step.attempts] })
        .to eq("plan" => 2, "last" => 2, "one" => 1, "three" => 1)
      expect(result.steps.find { |step| step.name == "last" }.depends_on).to eq(%w[plan one three])
      expect(TaskerCore.explain(task_id, step: "one")["steps"].first["summary"]).to end_with("added by plan, attempt 2")
      expect { TaskerCore.explain(task_id, step: "two") }.to raise_error(TaskerCore::Error, /two/)
      2.times do
        TaskerCore.rerun(task_id, "plan")
        finish(task_id)
      end
      expect(TaskerCore.status(task_id)).to have_attributes(
        state: "complete", steps_total: 4, steps_retired: 6, steps_by_state: { "complete" => 4 }, attempts_total: 16
      )
      expect(tasker("status", task_id.to_s).out).to match(/4 \(.*4 complete\); 6 more of before a rerun/)
      expect(TaskerCore.explain(task_id)["summary"]).to start_with("all 4 steps are complete")
      expect(count("tasker_added_steps WHERE NOT retired")).to eq(2)
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    it "leaves out what it has added and has not ended well, and forgets what that ran", :aggregate_failures do
      handler("Part") { |_, _, step| step.name == "one" ? step.wait_for("go") : 2 }
      task_id = TaskerCore.submit("plan")
      working { wait_until("one waits") { TaskerCore.status(task_id).steps_by_state["waiting"] } }
      handler("Plan") { |_, _, step| step.attempt }
      handler("Last") { 1 }
      expect(TaskerCore.rerun(task_id, "plan").steps_by_state).to eq("enqueued" => 1, "pending" => 1)
      result = finish(task_id)
      expect([result.state, result.steps.map(&:name)]).to eq(["complete", %w[plan last]])
      expect([count("tasker_step_waits"), count("tasker_workflow_step_edges")]).to eq([0, 1])
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    it "is refused where a step would not wait for what is to be added before it anew", :aggregate_failures do
      handler("Plan") { |_, _, step| step.add("one", like: "part", before: "last") }
      handler("Other") { |_, _, step| step.wait_for("go") }
      TaskerCore.define("eager") do
        step "plan", handler: "Plan"
        step "other", handler: "Other"
        step "part", handler: "Part", dynamic: true
        step "gate", handler: "Part", depends_on: "plan", delay: 3_600
        step "last", handler: "Other", depends_on: %w[gate other], join: "any_complete"
      end
      task_id = TaskerCore.submit("eager")
      working do
        wait_until("one is added") { TaskerCore.status(task_id).steps_total == 5 }
        TaskerCore.resolve(task_id, "other", results: 1)
        expect { TaskerCore.rerun(task_id, "plan") }
          .to raise_error(TaskerCore::InvalidTransition, /it would begin at once/)
      end
      expect { TaskerCore.fork(task_id, from: "plan") }
        .to raise_error(TaskerCore::InvalidArgument, /as "last" would: they could not be added anew/)
      expect(TaskerCore.result(task_id).step("plan").attempts).to eq(1)
    end

    it "refuses the end of an attempt of what is retired while it runs", :aggregate_failures do
      started = Queue.new
      go_on = Queue.new
      handler("Part") do |_, _, step|
        started << step.name
        go_on.pop if step.name == "one" && started.size == 1
        step.name
      end
      task_id = TaskerCore.submit("plan")
      working do
        wait_until("one runs") { started.size == 1 }
        expect(TaskerCore.rerun(task_id, "plan").steps_retired).to eq(2)
        wait_until("another one has run") { started.size > 1 }
        go_on << 1
        TaskerCore.wait(task_id, timeout: 30)
      end
      expect(TaskerCore.result(task_id).results_of("last")).to eq("one")
      expect(sql("SELECT outcome FROM tasker_attempts WHERE outcome <> 'succeeded'"))
        .to eq([{ "outcome" => "cancelled" }])
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end
  end

  it "counts the parents that it leaves, an item that failed among them", :aggregate_failures do
    handler("List") { [1, 2] }
    handler("Price") { |_, _, step| step.item == 1 ? 1 : raise(TaskerCore::PermanentError, "no") }
    handler("Mend") do |_, _, step|
      step.add("ok", like: "part", depends_on: [])
      step.add("fix", like: "part", depends_on: ["price[1]", "ok"])
    end
    handler("Part") { |_, _, step| step.attempt }
    TaskerCore.define("mended") do
      step "list", handler: "List"
      step "price", handler: "Price", map: { over: "results.list", tolerate: "all" }, depends_on: "list"
      step "mend", handler: "Mend", depends_on: "price"
      step "part", handler: "Part", dynamic: true
    end
    task_id = run("mended").task_id
    TaskerCore.rerun(task_id, "ok")
    result = finish(task_id)
    expect([result.state, result.steps.to_h { |step| [step.name, [step.state, step.attempts]] }])
      .to match(["error", include("ok" => ["complete", 2], "fix" => ["pending", 0])])
    expect(result.steps.find { |step| step.name == "fix" }.depends_on).to eq(["ok"])
    expect(TaskerCore.explain(task_id, step: "fix")["steps"].first["summary"])
      .to eq("cannot start: its parent price[1] is in error; added by mend, attempt 1")
    expect(TaskerCore.client.doctor["ok"]).to be(true)
  end

  it "is refused where steps depend on themselves by what was added", :aggregate_failures do
    handler("Quick") { 1 }
    handler("Slow") { |_, _, step| step.wait_for("go") }
    handler("Add") do |_, _, step|
      step.wait_for("add")
      step.add("new", like: "part", depends_on: ["joined"], before: "after")
    end
    TaskerCore.define("circle") do
      step "quick", handler: "Quick"
      step "slow", handler: "Slow"
      step "add", handler: "Add", depends_on: "quick"
      step "after", handler: "Quick", depends_on: "slow"
      step "joined", handler: "Quick", depends_on: %w[quick after], join: "any_complete"
      step "part", handler: "Quick", dynamic: true
    end
    task_id = TaskerCore.submit("circle")
    working do
      wait_until("joined is done") { TaskerCore.result(task_id).results_of("joined") }
      TaskerCore.signal(task_id, "add")
      wait_until("it is added") { TaskerCore.status(task_id).steps_total == 6 }
      TaskerCore.signal(task_id, "go")
      TaskerCore.wait(task_id, timeout: 30)
    end
    %w[slow after joined new].each do |step|
      expect { TaskerCore.rerun(task_id, step) }.to raise_error(TaskerCore::InvalidArgument, /waits for itself/)
    end
    expect(TaskerCore.status(task_id).state).to eq("complete")
    expect(TaskerCore.client.doctor["ok"]).to be(true)
  end

  describe "of a task with a map step" do
    before do
      handler("List") { |task| task.context["list"] }
      handler("Price") { |_, _, step| step.item * 2 }
      handler("Sum") { |_, sequence| [sequence.each_item("price").sum(&:results), sequence.results_of("list").size] }
      TaskerCore.define("priced") do
        step "list", handler: "List"
        step "price", handler: "Price", map: { over: "results.list" }, depends_on: "list"
        step "sum", handler: "Sum", depends_on: "price"
      end
    end

    it "reads the items again that there are, below it" do
      task_id = run("priced", context: { list: [1, 2, 3] }).task_id
      TaskerCore.rerun(task_id, "sum")
      result = finish(task_id)
      expect([result.results_of("sum"), result.steps.map(&:attempts)]).to eq([[12, 3], [1, 0, 2]])
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    it "makes the items anew with it, and above it", :aggregate_failures do
      handler("List") { |_, _, step| step.attempt == 1 ? [1, 2, 3] : [10, 20] }
      task_id = run("priced").task_id
      TaskerCore.rerun(task_id, "price")
      expect(finish(task_id).results_of("sum")).to eq([12, 3])
      TaskerCore.rerun(task_id, "list")
      result = finish(task_id)
      expect([result.results_of("sum"), result.steps.map(&:attempts)]).to eq([[60, 2], [2, 0, 3]])
      expect(TaskerCore.explain(task_id, step: "price[1]")["steps"].first["state"]).to eq("complete")
      expect { TaskerCore.explain(task_id, step: "price[2]") }.to raise_error(TaskerCore::Error, /price/)
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    it "changes nothing while items are on their way" do
      handler("Price") { |_, _, step| step.item == 1 ? step.wait_for("go") : step.item }
      task_id = TaskerCore.submit("priced", context: { list: [1, 2] })
      working do
        wait_until("one waits") { TaskerCore.status(task_id).steps_by_state["waiting"] }
        TaskerCore.rerun(task_id, "price")
        TaskerCore.signal(task_id, "go", 1)
        TaskerCore.wait(task_id, timeout: 30)
      end
      expect([TaskerCore.status(task_id).steps_total, count("tasker_added_steps WHERE retired")]).to eq([5, 0])
    end

    it "goes on where too many items had failed", :aggregate_failures do
      handler("Price") { |_, _, step| step.item > 1 ? raise(TaskerCore::PermanentError, "no") : step.item }
      task_id = run("priced", context: { list: [1, 2, 3] }).task_id
      expect(TaskerCore.status(task_id).state).to eq("error")
      handler("Price") { |_, _, step| step.item }
      TaskerCore.rerun(task_id, "price")
      expect([finish(task_id).state, TaskerCore.result(task_id).results_of("sum")]).to eq(["complete", [6, 3]])
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    it "is refused of an item alone" do
      task_id = run("priced", context: { list: [1] }).task_id
      expect { TaskerCore.rerun(task_id, "price[0]") }.to raise_error(
        TaskerCore::InvalidArgument,
        'step is "price[0]"; allowed: "price": no item is executed anew alone, but the map step with all its items'
      )
    end

    it "takes it along where its list was empty" do
      handler("List") { |_, _, step| Array.new(step.attempt - 1, 5) }
      task_id = run("priced").task_id
      TaskerCore.rerun(task_id, "list")
      expect(finish(task_id).results_of("sum")).to eq([10, 1])
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    it "takes it along as long as its list is not known" do
      handler("List") { |_, _, step| step.attempt == 1 ? raise(TaskerCore::PermanentError, "no") : [1, 2] }
      task_id = run("priced").task_id
      TaskerCore.rerun(task_id, "list")
      expect(finish(task_id).results_of("sum")).to eq([6, 2])
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end
  end

  it "is a command, for one task and for many" do
    define_chain
    ids = Array.new(3) { run("chain").task_id }
    outcome = tasker("rerun", ids[0].to_s, "load", "--reason", "again", "--json")
    expect([outcome.status, outcome.json["steps_by_state"]]).to eq([0, { "enqueued" => 1, "pending" => 2 }])
    TaskerCore.cancel(ids[0])
    many = tasker("rerun", "--all", "--step", "ship", "--name", "chain", "--json")
    expect(many.json).to include("matched" => 3, "done" => 2, "gone_on" => 1)
    expect(ids.map { |id| TaskerCore.status(id).state }).to eq(%w[cancelled in_progress in_progress])
    expect([tasker("rerun", "--all", "--name", "chain").status, tasker("rerun", "1").status]).to eq([2, 2])
  end

  it "is the same whichever of two worker processes executes the steps" do
    workflow = File.join(CommandLine::ROOT, "spec/fixtures/rerun_workflow.rb")
    load workflow
    log = File.join(Dir.mktmpdir, "log")
    ids = in_two_processes(workflow) do
      ids = Array.new(20) { TaskerCore.submit("rerun", context: { log: log }) }
      finished = -> { ids.each { |id| TaskerCore.wait(id, timeout: 60) } }
      finished.call
      ids.each { |id| TaskerCore.rerun(id, "left") }
      finished.call
    end
    expect(ids.map { |id| TaskerCore.result(id).steps.map { |step| [step.state, step.results] } })
      .to all(eq([["complete", 0], ["complete", 1], ["complete", 0], ["complete", 1]]))
    expect(File.readlines(log).tally.values.sort.tally).to eq(1 => 40, 2 => 40)
    expect(TaskerCore.client.doctor["ok"]).to be(true)
  ensure
    FileUtils.rm_rf(File.dirname(log)) if log
  end

  it "makes items anew whichever of two worker processes executes them" do
    workflow = File.join(CommandLine::ROOT, "spec/fixtures/rerun_workflow.rb")
    load workflow
    ids = in_two_processes(workflow) do
      ids = Array.new(10) { TaskerCore.submit("rerun_list") }
      finished = -> { ids.each { |id| TaskerCore.wait(id, timeout: 60) } }
      finished.call
      ids.each { |id| TaskerCore.rerun(id, "list") }
      finished.call
    end
    expect(ids.map { |id| TaskerCore.result(id).results_of("sum") }).to all(eq(45))
    expect(sql("SELECT DISTINCT worker_id FROM tasker_attempts").size).to eq(2)
    expect(TaskerCore.client.doctor["ok"]).to be(true)
  end
end
