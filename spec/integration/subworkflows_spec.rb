# frozen_string_literal: true

RSpec.describe "Sub-workflows", :database do
  include CommandLine
  include Workflows

  # A template "child" of one step, "only", with a handler of its own.
  def define_child(name = "child", version: "1.0.0", &process)
    handler("ChildHandler", &process)
    TaskerCore.define(name, version: version) do
      step "only", handler: "ChildHandler", retry: Workflows::RETRY_AT_ONCE
    end
  end

  # A template "parent" of a step "run" with the workflow "child", and one after it.
  def define_parent(**options)
    handler("After") { |_, sequence, _| sequence.results_of("run") }
    TaskerCore.define("parent") do
      step "run", workflow: "child", retry: Workflows::RETRY_AT_ONCE, **options
      step "after", handler: "After", depends_on: "run"
    end
  end

  def failure(result, step)
    result.steps.find { |one| one.name == step }.error
  end

  def summary(task_id, step)
    TaskerCore.explain(task_id, step: step)["steps"].first["summary"]
  end

  def child_of(task_id)
    TaskerCore.status(task_id).children.last["task_id"]
  end

  def children(task_id)
    wait_until("there is a child") { TaskerCore.status(task_id).children.any? }
    TaskerCore.status(task_id).children
  end

  def states(task_ids)
    task_ids.map { |id| TaskerCore.status(id).state }
  end

  # What the block returns; a statement is executed after it has read the row of a task, and before its history.
  def held_between_reads(statement, *arguments, &reading)
    connection = PG.connect(database_url)
    connection.exec("BEGIN; LOCK TABLE tasker_task_transitions IN ACCESS EXCLUSIVE MODE")
    reader = Thread.new(&reading)
    wait_until("it waits for the history") { sql("SELECT FROM pg_locks WHERE NOT granted").any? }
    connection.exec_params(statement, arguments)
    connection.exec("COMMIT")
    reader.value
  ensure
    connection&.close
  end

  it "are told of where items and steps that were added run them, as where others do", :aggregate_failures do
    define_child { |_, _, step| step.wait_for("go") }
    handler("Plan") { |_, _, step| step.add("extra", like: "more") && [1] }
    handler("Runs") { |_, _, step| step.run_workflow("child") }
    TaskerCore.define("parent") do
      step "plan", handler: "Plan"
      step "each", handler: "Runs", depends_on: "plan", map: { over: "results.plan" }
      step "more", handler: "Runs", dynamic: true
    end
    task_id = TaskerCore.submit("parent")
    states = -> { TaskerCore.status(task_id).children.map { |child| child["state"] } }
    working { wait_until("both run theirs") { states.call == %w[waiting waiting] } }
    TaskerCore.status(task_id).children.each do |child|
      expect(summary(task_id, child["step"]))
        .to start_with("runs task #{child["task_id"]} (child 1.0.0), which is waiting: 0 of 1")
      expect(TaskerCore.status(child["task_id"]).parent).to include("step" => child["step"])
    end
    expect(TaskerCore.status(task_id).children.map { |child| child["step"] }).to contain_exactly("each[0]", "extra")
    expect(summary(task_id, "each")).to include("1 waits (each[0] for its task)")
  end

  describe "a step that runs a workflow" do
    it "completes with the results of its last steps" do
      define_child { |task, _, _| { "seen" => task.context } }
      define_parent
      result = run("parent", context: { "order" => 7 })
      expect(result).to be_complete
      expect(result.results_of("after")).to eq("only" => { "seen" => { "order" => 7 } })
      status = TaskerCore.status(result.task_id)
      expect(status.children.map { |child| child.slice("step", "call", "name", "version", "state") })
        .to eq([{ "step" => "run", "call" => "child", "name" => "child", "version" => "1.0.0",
                  "state" => "complete" }])
      expect(TaskerCore.status(child_of(result.task_id)).parent)
        .to include("task_id" => result.task_id, "step" => "run", "state" => "complete")
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    it "makes the context from expressions over its task's context and the results of its parents" do
      define_child { |task, _, _| task.context }
      handler("Load") { { "total" => 99, "lines" => [{ "sku" => "a" }] } }
      TaskerCore.define("parent") do
        step "load", handler: "Load"
        step "run", depends_on: "load",
                    workflow: { name: "child", context: { id: "context.id", total: "results.load.total * 2", n: 5,
                                                          first: "results.load.lines[0]", list: [1] } }
      end
      expect(run("parent", context: { id: 7 }).results_of("run"))
        .to eq("only" => { "id" => 7, "total" => 198, "n" => 5, "first" => { "sku" => "a" }, "list" => [1] })
    end

    it "may have a handler that makes the context" do
      define_child { |task, _, _| task.context["double"] }
      stub_const("Doubling", Class.new(TaskerCore::StepHandler::Workflow) do
        def context(task, _sequence, _step)
          { double: task.context["id"] * 2 }
        end
      end)
      define_parent(handler: "Doubling")
      expect(run("parent", context: { id: 21 }).results_of("run")).to eq("only" => 42)
    end

    it "waits without a thread, and says for what" do
      define_child { |_, _, step| step.wait_for("go") }
      define_parent
      task_id = TaskerCore.submit("parent")
      working do
        child = children(task_id).first["task_id"]
        wait_until("both wait") { [task_id, child].all? { |id| TaskerCore.status(id).state == "waiting" } }
        expect(summary(task_id, "run")).to start_with("runs task #{child} (child 1.0.0), which is waiting: 0 of 1")
        expect(TaskerCore.explain(child)["summary"]).to end_with("; it is run by step run of task #{task_id}")
        expect(tasker("status", child.to_s).out).to match(/child of:\s+step run of task #{task_id} \(waiting\)/)
        TaskerCore.signal(child, "go", "now")
        TaskerCore.wait(task_id, timeout: 30)
      end
      expect(TaskerCore.result(task_id).results_of("after")).to eq("only" => "now")
    end

    it "is explained by one state of what it runs, also where that ends while it is read" do
      define_child { |_, _, step| step.wait_for("go") }
      define_parent
      task_id = TaskerCore.submit("parent")
      working { wait_until("both wait") { TaskerCore.list(state: "waiting").size == 2 } }
      child = child_of(task_id)
      ends = "UPDATE tasker_tasks SET state = 'complete', waiting_steps = 0, finished_at = now() WHERE task_id = $1"
      explained = held_between_reads(ends, child) { TaskerCore.explain(task_id, step: "run")["steps"].first }
      expect(explained["children"].map { |one| one["state"] }).to eq(["complete"])
      expect(explained["summary"])
        .to start_with("goes on when a worker tells it that task #{child} (child 1.0.0) is complete")
      sql("UPDATE tasker_tasks SET state = 'waiting', waiting_steps = 1, finished_at = NULL WHERE task_id = $1", child)
    end

    it "fails for good with the steps that failed" do
      define_child { raise TaskerCore::PermanentError, "no" }
      define_parent
      result = run("parent")
      expect(result.state).to eq("error")
      child = child_of(result.task_id)
      expect(failure(result, "run")).to include(
        "kind" => "permanent", "class" => "TaskerCore::WorkflowFailed", "code" => "WORKFLOW_FAILED",
        "message" => "task #{child} (default/child 1.0.0) is error; failed: only",
        "context" => include("task_id" => child, "state" => "error", "failed_steps" => ["only"])
      )
    end

    it "is blocked instead where its template says so" do
      define_child { raise TaskerCore::PermanentError, "no" }
      define_parent(workflow: { name: "child", on_failure: "block" })
      expect(run("parent").state).to eq("blocked")
    end

    it "has the failed steps of its task tried again when it is tried again" do
      fails = true
      define_child { fails ? raise(TaskerCore::PermanentError, "no") : "yes" }
      define_parent
      result = run("parent")
      fails = false
      TaskerCore.retry(result.task_id)
      working { TaskerCore.wait(result.task_id, timeout: 30) }
      again = TaskerCore.result(result.task_id)
      expect(again.results_of("after")).to eq("only" => "yes")
      expect(TaskerCore.status(result.task_id).children.size).to eq(1)
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    it "makes another task when it is tried again after its task was cancelled" do
      define_child { |_, _, step| step.wait_for("go") }
      define_parent
      task_id = TaskerCore.submit("parent")
      working do
        first = children(task_id).first["task_id"]
        TaskerCore.cancel(first)
        TaskerCore.wait(task_id, timeout: 30)
        expect(failure(TaskerCore.result(task_id), "run")["message"]).to end_with("is cancelled")
        TaskerCore.retry(task_id)
        wait_until("there is another") { TaskerCore.status(task_id).children.size == 2 }
        TaskerCore.signal(child_of(task_id), "go", 2)
        TaskerCore.wait(task_id, timeout: 30)
      end
      expect(TaskerCore.result(task_id).results_of("after")).to eq("only" => 2)
    end

    it "takes its task along when it is cancelled or skipped" do
      define_child { |_, _, step| step.wait_for("go") }
      define_parent(skippable: true)
      ids = Array.new(2) { TaskerCore.submit("parent") }
      working do
        tasks = ids.map { |id| children(id).first["task_id"] }
        TaskerCore.cancel(ids[0], actor: "mara")
        TaskerCore.skip(ids[1], "run")
        expect(tasks.map { |id| TaskerCore.status(id).state }).to eq(%w[cancelled cancelled])
        expect(TaskerCore.explain(tasks[0])["summary"])
          .to start_with("cancelled by task #{ids[0]} (the step that runs it has ended)")
      end
    end

    it "leaves its task alone where its template says so" do
      define_child { |_, _, step| step.wait_for("go") }
      define_parent(workflow: { name: "child", on_cancel: "leave" })
      task_id = TaskerCore.submit("parent")
      working do
        child = children(task_id).first["task_id"]
        TaskerCore.cancel(task_id)
        TaskerCore.signal(child, "go")
        expect(TaskerCore.wait(child, timeout: 30)).to be_complete
      end
    end

    it "finds the results of its task however late it asks for them" do
      define_child { |_, _, step| step.wait_for("go") }
      define_parent
      task_id = TaskerCore.submit("parent")
      working do
        child = children(task_id).first["task_id"]
        wait_until("both wait") { [task_id, child].all? { |id| TaskerCore.status(id).state == "waiting" } }
        TaskerCore.pause(task_id)
        TaskerCore.signal(child, "go", 7)
        TaskerCore.wait(child, timeout: 30)
        expect(TaskerCore.prune(older_than: 0)["tasks"]).to eq(0)
        TaskerCore.resume(task_id)
        TaskerCore.wait(task_id, timeout: 30)
      end
      expect(TaskerCore.result(task_id).results_of("after")).to eq("only" => 7)
      expect(TaskerCore.prune(older_than: 0)["tasks"]).to eq(2)
      expect(count("tasker_child_tasks")).to eq(0)
    end

    it "is blocked while there is no such workflow" do
      define_parent
      result = run("parent")
      expect(result.state).to eq("blocked")
      expect(failure(result, "run")).to include("code" => "UNKNOWN_WORKFLOW",
                                                "message" => start_with("there is no template default/child"))
      define_child { "there" }
      TaskerCore.retry(result.task_id)
      working { TaskerCore.wait(result.task_id, timeout: 30) }
      expect(TaskerCore.result(result.task_id).results_of("after")).to eq("only" => "there")
    end

    it "goes at most 16 deep" do
      TaskerCore.define("endless") { step "run", workflow: "endless", retry: Workflows::RETRY_AT_ONCE }
      result = run("endless")
      expect(result.state).to eq("error")
      expect(count("tasker_tasks")).to eq(17)
      deepest = TaskerCore.list(limit: 1).first.task_id
      expect(failure(TaskerCore.result(deepest), "run")).to include(
        "kind" => "permanent", "code" => "WORKFLOW_REFUSED",
        "message" => 'workflow is "endless" at depth 17; allowed: workflows that run one another at most 16 deep'
      )
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    it "fails for good where the workflow refuses the context" do
      handler("ChildHandler") { 1 }
      TaskerCore.define("child", schema: { "required" => ["id"] }) { step "only", handler: "ChildHandler" }
      define_parent
      expect(failure(run("parent"), "run")).to include("kind" => "permanent", "code" => "WORKFLOW_REFUSED",
                                                       "message" => /id/)
    end
  end

  it "is refused beside a handler that would not run it" do
    handler("Bill") { 1 }
    expect { TaskerCore.define("above") { step "bill", handler: "Bill", workflow: "child" } }.to raise_error(
      TaskerCore::HandlerNotFound,
      /_spec.rb:\d+: step "bill": handler class Bill does not run the workflow "child" that the step declares; \
allowed: a subclass of TaskerCore::StepHandler::Workflow, or no handler\z/
    )
    stub_const("Own", Class.new(TaskerCore::StepHandler::Workflow))
    expect(TaskerCore.define("above") { step "bill", handler: "Own", workflow: "child" }.steps.size).to eq(1)
  end

  describe "step.run_workflow" do
    it "runs one task for each name, whatever becomes of the attempts" do
      define_child { |task, _, _| task.context["n"] }
      attempts = 0
      define_one do |_, _, step|
        sums = %w[a b].map { |name| step.run_workflow("child", name: name, context: { n: name.ord })["only"] }
        (attempts += 1) == 1 ? raise("once") : sums
      end
      result = run("one")
      expect(result.results_of("only")).to eq([97, 98])
      expect(TaskerCore.status(result.task_id).children.map { |child| child["call"] }).to contain_exactly("a", "b")
    end

    it "lets the handler go on after a failure" do
      define_child { raise TaskerCore::PermanentError, "no" }
      define_one do |_, _, step|
        step.run_workflow("child")
      rescue TaskerCore::WorkflowFailed => e
        e.context.fetch("state")
      end
      expect(run("one").results_of("only")).to eq("error")
    end

    it "needs a workflow where the template declares none" do
      define_one { |_, _, step| step.run_workflow }
      expect(failure(run("one"), "only")).to include("kind" => "permanent", "message" => /workflow is nil; allowed/)
    end

    it "refuses arguments that are none, whatever becomes of the workflow" do
      define_child { nil }
      { { on_failure: "x" } => 'on_failure is "x", allowed: fail, block',
        { on_failure: "blok" } => 'on_failure is "blok", allowed: fail, block; did you mean "block"?',
        { on_cancel: "x" } => 'on_cancel is "x", allowed: cancel, leave',
        { version: "x" } => /\Aversion is "x"; allowed: a semantic version, such as 1.2.0/,
        { context: 5 } => "context is 5, allowed: nil or a Hash" }.each do |options, message|
        define_one { |_, _, step| step.run_workflow("child", **options) }
        expect(failure(run("one"), "only"))
          .to include("kind" => "permanent", "code" => "WORKFLOW_REFUSED", "message" => match(message))
      end
      expect(TaskerCore.list(name: "child")).to eq([])
    end
  end

  describe "with two worker processes" do
    let(:workflow) { File.join(CommandLine::ROOT, "spec/fixtures/subworkflows_workflow.rb") }

    before { load workflow }

    it "wakes the step with the end, not with the next heartbeat" do
      in_two_processes(workflow) do
        ids = TaskerCore.submit_all("purchase", contexts: Array.new(20) { |n| { order_id: n } })
        ids.each { |id| TaskerCore.wait(id, timeout: 30) }
        expect(ids.map { |id| TaskerCore.result(id).results_of("ship") })
          .to eq(Array.new(20) { |n| { "invoice" => "i-#{n}" } })
        gaps = sql("SELECT extract(epoch FROM s.created_at - t.created_at) AS gap FROM tasker_child_tasks c
                    JOIN tasker_task_transitions t ON t.task_id = c.task_id AND t.event = 'completed'
                    JOIN tasker_workflow_step_transitions s ON s.workflow_step_id = c.parent_step_id
                    AND s.event = 'signalled'").map { |row| row["gap"].to_f }
        # Heartbeats are a second apart: where they did it, it would be half a second for one in two.
        expect(gaps.sort[gaps.size / 2]).to be < 0.4
      end
      expect(count("tasker_follow_ups")).to eq(0)
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    it "does with the other task what the template says when one is cancelled or fails" do
      context = { order_id: 7, waits: true }
      in_two_processes(workflow) do
        taken, left = %w[purchase purchase_left].map do |name|
          ids = TaskerCore.submit_all(name, contexts: [context] * 5)
          ids.to_h { |id| [id, children(id).first["task_id"]] }
        end
        [taken, left].flat_map(&:keys).each { |id| TaskerCore.cancel(id) }
        left.each_value { |id| TaskerCore.signal(id, "go") }
        expect(states(taken.values)).to eq(["cancelled"] * 5)
        expect(left.values.map { |id| TaskerCore.wait(id, timeout: 30).state }).to eq(["complete"] * 5)

        failed, held = %w[purchase purchase_held].map do |name|
          TaskerCore.submit_all(name, contexts: [{ order_id: 7, refuses: true, ledger: File::NULL }] * 5)
                    .each { |id| TaskerCore.wait(id, timeout: 30) }
        end
        expect([states(failed), states(held)]).to eq([["error"] * 5, ["blocked"] * 5])
        held.each { |id| TaskerCore.skip(id, "bill") }
        expect(held.map { |id| TaskerCore.wait(id, timeout: 30).steps_by_state }.uniq)
          .to eq([{ "complete" => 1, "skipped" => 2 }])
      end
      expect(count("tasker_follow_ups")).to eq(0)
      expect(TaskerCore.client.doctor["ok"]).to be(true)
    end

    it "loses no end when the worker is killed before it has told of it" do
      holder = PG.connect(database_url)
      task_id = TaskerCore.submit("purchase", context: { order_id: 7, waits: true })
      tasker_running("work", "-r", workflow, "-c", "2") do |worker|
        child = children(task_id).first["task_id"]
        wait_until("both wait") { [task_id, child].all? { |id| TaskerCore.status(id).state == "waiting" } }
        holder.exec("BEGIN; SELECT FROM tasker_tasks WHERE task_id = #{task_id} FOR NO KEY UPDATE")
        TaskerCore.signal(child, "go")
        wait_until("the child has ended") { TaskerCore.status(child).complete? }
        worker.signal("KILL")
        wait_until("the worker is dead") { worker.status }
      end
      expect(count("tasker_follow_ups")).to eq(1)
      holder.exec("ROLLBACK")
      tasker_running("work", "-r", workflow, "-c", "2") { TaskerCore.wait(task_id, timeout: 30) }
      expect(TaskerCore.result(task_id).results_of("ship")).to eq("invoice" => "i-7")
      expect(count("tasker_follow_ups")).to eq(0)
    ensure
      holder&.close
    end
  end
end
