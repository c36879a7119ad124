# frozen_string_literal: true

require "tmpdir"

RSpec.describe "Compensation", :database do
  include CommandLine
  include Workflows

  # Steps "reserve" and "charge" that say how they are undone, with "note" between them that does not, and "ship".
  def define_order(**options, &ship)
    handler("Work") { |task, _, step| { "did" => step.name, "id" => task.context["id"] } }
    handler("Ship", &ship)
    undone = @undone = []
    handler("Undo") do |task, sequence, step|
      undone << [step.name, sequence.results_of(step.name), sequence.state_of("ship"), task.context, step.config]
      { "undid" => step.name }
    end
    TaskerCore.define("order", **options) do
      step "reserve", handler: "Work", compensate_with: "Undo", config: { warehouse: 3 }
      step "note", handler: "Work", depends_on: "reserve"
      step "charge", handler: "Work", depends_on: "note",
                     compensate: { handler_class: "Undo", default_retry_limit: 2, retry: Workflows::RETRY_AT_ONCE }
      step "ship", handler: "Ship", depends_on: "charge", skippable: true
    end
  end

  def undoing(task_id)
    wait_until("it is undone") { TaskerCore.status(task_id).compensated_by }
  end

  def run_and_undo(**submission)
    task_id = TaskerCore.submit("order", **submission)
    working do
      TaskerCore.wait(task_id, timeout: 30)
      yield task_id if block_given?
      TaskerCore.wait(undoing(task_id), timeout: 30)
    end
    task_id
  end

  it "undoes the complete steps of a task in error, the last one first, with what they returned" do
    define_order { raise TaskerCore::PermanentError, "out of stock" }
    task_id = run_and_undo(context: { id: 7 })
    expect(@undone).to eq(
      [["charge", { "did" => "charge", "id" => 7 }, "error", { "id" => 7 }, {}],
       ["reserve", { "did" => "reserve", "id" => 7 }, "error", { "id" => 7 }, { "warehouse" => 3 }]]
    )
    by = undoing(task_id)
    status = TaskerCore.status(by)
    expect([status.name, status.version, status.compensates, status.state])
      .to eq(["order (compensation)", "0.1.0", task_id, "complete"])
    expect(TaskerCore.explain(task_id)["summary"])
      .to end_with("; it is undone by task #{by}, which is complete: 3 of 3 steps")
    expect(TaskerCore.explain(by)["summary"]).to end_with("; it undoes task #{task_id}")
    expect(tasker("status", task_id.to_s).out).to match(/undone by:\s+task #{by}/)
  end

  it "is done once: a task that undoes another one is not forked" do
    define_order { raise TaskerCore::PermanentError, "out of stock" }
    by = undoing(run_and_undo)
    expect { TaskerCore.fork(by, from: "reserve") }
      .to raise_error(TaskerCore::InvalidArgument, /which undoes another one; allowed: a task that undoes no other/)
    expect(TaskerCore.list.size).to eq(2)
  end

  it "is done by a fork for what it has executed, and not for what it took over" do
    outcome = { "ship" => true }
    define_order { outcome["ship"] || raise(TaskerCore::PermanentError, "out of stock") }
    task_id = TaskerCore.submit("order", context: { id: 7 })
    working { TaskerCore.wait(task_id, timeout: 30) }
    outcome["ship"] = false
    fork, all = %w[charge reserve].map { |step| TaskerCore.fork(task_id, from: step, context: { id: 8 }) }
    working { [fork, all].each { |id| TaskerCore.wait(undoing(id), timeout: 30) } }
    undone = @undone.map { |name, results, _, context, _| [name, results["id"], context["id"]] }
    expect(undone).to match_array([["charge", 8, 8], ["charge", 8, 8], ["reserve", 8, 8]])
    expect(TaskerCore.explain(undoing(fork), step: "reserve")["steps"].first["summary"])
      .to end_with("there is nothing to undo: it is not so that reserve was done by task #{fork}")
    expect(TaskerCore.status(task_id)).to have_attributes(state: "complete", compensated_by: nil)

    expect { TaskerCore.fork(fork, from: "ship") }
      .to raise_error(TaskerCore::InvalidTransition, /task #{fork} is undone by task \d+/)
  end

  it "makes no task for a fork that has executed nothing" do
    define_order { "shipped" }
    task_id = TaskerCore.submit("order")
    working { TaskerCore.wait(task_id, timeout: 30) }
    fork = TaskerCore.fork(task_id, from: "ship")
    TaskerCore.cancel(fork)
    working { TaskerCore.wait(TaskerCore.submit("order"), timeout: 30) }
    expect(TaskerCore.status(fork).compensated_by).to be_nil
    expect(TaskerCore.compensate(fork).compensated_by).to be_nil
  end

  it "is not given up: what undoes is not cancelled, and nobody else begins to undo" do
    define_order { raise TaskerCore::PermanentError, "out of stock" }
    handler("Undo") { raise TaskerCore::BlockedError, "the bank is closed" }
    task_id = TaskerCore.submit("order")
    by = working { TaskerCore.wait(undoing(task_id), timeout: 30).task_id }
    expect(TaskerCore.status(by).state).to eq("blocked")
    expect { TaskerCore.cancel(by) }
      .to raise_error(TaskerCore::InvalidArgument, /task is #{by}, which undoes another one; .* paused, .* skipped/)
    expect(TaskerCore.expire(older_than: 0).refused.map { |one| one["task_id"] }).to eq([by])
    expect { TaskerCore.submit("order (compensation)") }
      .to raise_error(TaskerCore::InvalidArgument, /name is "order \(compensation\)"/)
    expect(TaskerCore.status(by).state).to eq("blocked")
  end

  it "undoes a task that was cancelled, and no step that was not complete" do
    define_order { "shipped" }
    handler("Work") { |_, _, step| step.name == "charge" ? step.wait_for("go") : step.name }
    task_id = TaskerCore.submit("order")
    working do
      wait_until("it waits") { TaskerCore.status(task_id).state == "waiting" }
      TaskerCore.cancel(task_id)
      TaskerCore.wait(undoing(task_id), timeout: 30)
    end
    expect(@undone.map(&:first)).to eq(%w[reserve])
    steps = TaskerCore.result(undoing(task_id)).steps.to_h { |step| [step.name, step.state] }
    expect(steps).to eq("reserve" => "complete", "charge" => "skipped", "all undone" => "complete")
    expect(TaskerCore.explain(undoing(task_id), step: "charge")["steps"].first["summary"])
      .to eq("there is nothing to undo: it is not so that charge was done by task #{task_id}")
  end

  it "leaves a task alone that completes, or of which nothing is to be undone" do
    define_order { "shipped" }
    expect(run("order")).to be_complete
    cancelled = TaskerCore.submit("order")
    TaskerCore.cancel(cancelled)
    working { wait_until("nothing is left to be done") { count("tasker_follow_ups").zero? } }
    expect([count("tasker_compensations"), count("tasker_tasks")]).to eq([0, 2])
  end

  it "tries again what fails, undoes the others whatever becomes of it, and is not complete without it" do
    define_order { raise TaskerCore::PermanentError, "out of stock" }
    handler("Undo") { |_, _, step| step.name == "charge" ? raise("the bank is down") : "undone" }
    by = undoing(run_and_undo)
    states = -> { TaskerCore.result(by).steps.to_h { |step| [step.name, [step.state, step.attempts]] } }
    expect(states.call)
      .to eq("charge" => ["error", 2], "reserve" => ["complete", 1], "all undone" => ["pending", 0])
    expect(TaskerCore.status(by).state).to eq("error")
    expect(TaskerCore.failures(task_id: by).map { |one| [one.step, one.remedies.first] }).to eq([%w[charge retry]])
    handler("Undo") { "undone" }
    TaskerCore.retry(by, step: "charge")
    working { TaskerCore.wait(by, timeout: 30) }
    expect(states.call)
      .to eq("charge" => ["complete", 3], "reserve" => ["complete", 1], "all undone" => ["complete", 1])
    expect(TaskerCore.status(by).state).to eq("complete")
  end

  it "keeps a task that is undone as it is" do
    define_order { raise TaskerCore::PermanentError, "out of stock" }
    task_id = run_and_undo
    by = undoing(task_id)
    problem = /task #{task_id} is undone by task #{by} and cannot go on; submit it again/
    expect { TaskerCore.retry(task_id) }.to raise_error(TaskerCore::InvalidTransition, problem)
    expect { TaskerCore.resolve(task_id, "ship") }.to raise_error(TaskerCore::InvalidTransition, problem)
    expect { TaskerCore.skip(task_id, "ship") }.to raise_error(TaskerCore::InvalidTransition, problem)
    expect(TaskerCore.failures(task_id: task_id).map { |one| [one.step, one.remedies] }).to eq([["ship", []]])
    expect(TaskerCore.compensate(task_id).compensated_by).to eq(by)
    expect(count("tasker_tasks")).to eq(2)
  end

  it "waits for a person where the template says so" do
    define_order(compensation: "manual") { raise TaskerCore::PermanentError, "out of stock" }
    expect { TaskerCore.compensate(TaskerCore.submit("order")) }
      .to raise_error(TaskerCore::InvalidTransition, /task 1 is pending: it cannot be undone; allowed: .* in error/)
    working do
      TaskerCore.wait(1, timeout: 30)
      expect(TaskerCore.status(1).compensated_by).to be_nil
      out = tasker("compensate", "1", "--reason", "the customer agreed").out
      TaskerCore.wait(undoing(1), timeout: 30)
      expect(out).to include("undone by")
      expect(TaskerCore.compensate(1, actor: "eve").compensated_by).to eq(undoing(1))
      expect(tasker("compensate", "1").err).to eq("")
    end
    by = TaskerCore.status(undoing(1))
    expect(by.reason).to eq("the customer agreed")
    who = sql("SELECT initiator FROM tasker_tasks WHERE task_id = #{by.task_id}").first.fetch("initiator")
    explained = TaskerCore.explain(1)
    expect(explained["history"].last).to include(
      "from" => "error", "to" => "error", "cause" => "compensation_requested",
      "detail" => { "actor" => who, "reason" => "the customer agreed", "compensated_by" => by.task_id }
    )
    expect(explained["summary"]).to match(
      /complete: 3 of 3 steps, asked for by #{who} \(the customer agreed\), \S+ \([^)]* ago\)\z/
    )
    expect(tasker("events").out).to match(/task\.compensation_requested +task 1 .* reason=the customer agreed/)
    expect(tasker("doctor").status).to eq(0)
    expect(@undone.map(&:first)).to eq(%w[charge reserve])
  end

  it "ends the step of a task above at once" do
    define_order { raise TaskerCore::PermanentError, "out of stock" }
    TaskerCore.define("above") { step "run", workflow: "order" }
    result = run("above")
    expect(result.state).to eq("error")
    child = TaskerCore.status(result.task_id).children.first["task_id"]
    working { TaskerCore.wait(undoing(child), timeout: 30) }
    expect(@undone.map(&:first).uniq).to eq(%w[charge reserve])
  end

  it "undoes the template's steps of a task that has grown, and none that was added" do
    undone = []
    handler("Work") do |_, _, step|
      step.name == "plan" ? step.add("page_1", like: "page", before: "last") && 7 : [1, 2]
    end
    handler("Last") { raise TaskerCore::PermanentError, "out of paper" }
    handler("Undo") { |_, sequence, step| undone << [step.name, sequence.results_of(step.name)] }
    TaskerCore.define("grown") do
      step "plan", handler: "Work", compensate_with: "Undo"
      step "page", handler: "Work", dynamic: true
      step "list", handler: "Work", depends_on: "plan", compensate_with: "Undo"
      step "part", handler: "Work", depends_on: "list", map: { over: "results.list" }
      step "last", handler: "Last", depends_on: "part"
    end
    task_id = TaskerCore.submit("grown")
    working do
      TaskerCore.wait(task_id, timeout: 30)
      TaskerCore.wait(undoing(task_id), timeout: 30)
    end

    expect(undone).to eq([["list", [1, 2]], ["plan", 7]])
    expect(TaskerCore.explain(task_id)["summary"]).to end_with("which is complete: 3 of 3 steps")
    expect(TaskerCore.client.doctor).to include("ok" => true)
  end

  it "refuses to undo what a task does not have from the beginning" do
    handler("Work") { 1 }
    { dynamic: true, map: { over: "context.list" } }.each do |key, value|
      define = lambda do
        TaskerCore.define("x") do
          step "a", handler: "Work"
          step "b", handler: "Work", compensate_with: "Undo", key => value
        end
      end
      expect(&define)
        .to raise_error(TaskerCore::InvalidTemplate, / compensate_with \(step "b"\).*allowed: none with dynamic or map/)
    end
  end

  it "refuses what says it twice, and names that are the engine's" do
    handler("Work") { 1 }
    expect { TaskerCore.define("x") { step "a", handler: "Work", compensate_with: "A", compensate: {} } }
      .to raise_error(TaskerCore::InvalidTemplate, / compensate_with.*one of compensate_with and/)
    expect { TaskerCore.define("x (compensation)") { step "a", handler: "Work" } }
      .to raise_error(TaskerCore::InvalidTemplate, /name is "x .*" \(compensation\)"/)
    expect { TaskerCore.define("x" * 114) { step "a", handler: "Work", compensate_with: "Work" } }
      .to raise_error(TaskerCore::InvalidTemplate, /name is "x.*; allowed: at most 113 bytes where a step says how/)
    expect { define_order(compensation: "never") { nil } }
      .to raise_error(TaskerCore::InvalidTemplate, /compensation is "never"; allowed: automatic, manual/)
  end

  it "says on the command line where there is nothing to undo" do
    define_order(compensation: "manual") { 1 }
    handler("Work") { raise TaskerCore::PermanentError, "out of stock" }
    task_id = run("order").task_id
    told = tasker("compensate", task_id.to_s)
    expect([told.status, told.err]).to eq(
      [0, "tasker: there is nothing to undo: no step that says how is complete; nothing was changed\n"]
    )
    expect(TaskerCore.status(task_id).compensated_by).to be_nil
  end

  describe "with two worker processes" do
    let(:workflow) { File.join(CommandLine::ROOT, "spec/fixtures/subworkflows_workflow.rb") }
    let(:folder) { Dir.mktmpdir }
    let(:ledger) { File.join(folder, "ledger") }
    let(:context) { { order_id: 7, sold_out: true, ledger: ledger } }

    before { load workflow }
    after { FileUtils.remove_entry(folder) }

    def undone
      File.readlines(ledger).map { |line| line.split.first }
    end

    it "undoes each task once, in order" do
      in_two_processes(workflow) do
        ids = TaskerCore.submit_all("purchase", contexts: Array.new(10) { |n| context.merge(ledger: "#{ledger}#{n}") })
        ids.each do |id|
          TaskerCore.wait(id, timeout: 30)
          TaskerCore.wait(undoing(id), timeout: 30)
        end
      end
      ledgers = Array.new(10) { |n| File.readlines("#{ledger}#{n}").map { |line| line.split.first } }
      expect(ledgers).to all(eq(%w[bill check]))
      expect([count("tasker_compensations"), count("tasker_follow_ups")]).to eq([10, 0])
    end

    it "undoes a task by hand only where the template says so, and once whoever asks" do
      in_two_processes(workflow) do
        ids = TaskerCore.submit_all("purchase_by_hand",
                                    contexts: Array.new(10) { |n| context.merge(ledger: "#{ledger}#{n}") })
        ids.each { |id| TaskerCore.wait(id, timeout: 30) }
        wait_until("what the ends left to be done is done") { count("tasker_follow_ups").zero? }
        expect(ids.map { |id| TaskerCore.status(id).compensated_by }.uniq).to eq([nil])
        ids.first(5).flat_map { |id| Array.new(2) { Thread.new { TaskerCore.compensate(id) } } }.each(&:join)
        ids.first(5).each { |id| TaskerCore.wait(undoing(id), timeout: 30) }
      end
      ledgers = Array.new(10) { |n| "#{ledger}#{n}" }.map { |file| File.exist?(file) ? File.readlines(file) : [] }
      expect(ledgers.map { |lines| lines.map { |line| line.split.first } }).to eq(([%w[bill check]] * 5) + ([[]] * 5))
      expect(count("tasker_compensations")).to eq(5)
    end

    it "loses nothing when the worker is killed before it has made the task that undoes" do
      task_id = TaskerCore.submit("purchase", context: context.merge(waits: true))
      holder = PG.connect(database_url)
      tasker_running("work", "-r", workflow, "-c", "2") do |worker|
        wait_until("it waits") { TaskerCore.status(task_id).children.any? { |child| child["state"] == "waiting" } }
        holder.exec("BEGIN; SELECT FROM tasker_named_tasks WHERE name = 'purchase (compensation)' FOR UPDATE")
        TaskerCore.signal(TaskerCore.status(task_id).children.first["task_id"], "go")
        wait_until("it has failed") { TaskerCore.status(task_id).state == "error" }
        worker.signal("KILL")
        wait_until("the worker is dead") { worker.status }
      end
      expect([count("tasker_follow_ups"), count("tasker_compensations")]).to eq([1, 0])
      holder.exec("ROLLBACK")
      in_two_processes(workflow) { TaskerCore.wait(undoing(task_id), timeout: 30) }
      expect(undone).to eq(%w[bill check])
    ensure
      holder&.close
    end
  end

  it "is kept as long as what it undoes" do
    define_order { raise TaskerCore::PermanentError, "no ship" }
    id = run_and_undo
    by = TaskerCore.status(id).compensated_by
    expect(TaskerCore.prune(older_than: 0)["tasks"]).to eq(0)
    expect(TaskerCore.explain(id)["summary"]).to include("it is undone by task #{by}, which is complete")
    expect { TaskerCore.retry(id) }.to raise_error(TaskerCore::InvalidTransition, /undone by task #{by}/)
    pruned = Array.new(2) { TaskerCore.prune(older_than: 0, errors_older_than: 0)["tasks"] }
    expect(pruned.sum).to eq(2)
    expect(sql("SELECT FROM tasker_compensations")).to be_empty
  end
end
