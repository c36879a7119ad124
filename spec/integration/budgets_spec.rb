# frozen_string_literal: true

RSpec.describe "A task with a budget", :database do
  include CommandLine
  include Workflows

  def summary(task_id, step)
    TaskerCore.explain(task_id, step: step)["steps"].first["summary"]
  end

  def states(task_id)
    TaskerCore.result(task_id).steps.map(&:state).tally
  end

  # Three steps in a row, of which the second fails again and again.
  def define_row(**options)
    handler("Any") { |_, _, step| step.name }
    handler("Fails") { raise "no route" }
    TaskerCore.define("row", **options) do
      step "first", handler: "Any"
      step "second", handler: "Fails", depends_on: "first", retry_limit: 100, retry: Workflows::RETRY_AT_ONCE
      step "third", handler: "Any", depends_on: "second"
    end
  end

  it "begins no more attempts than it allows, keeps what is done, and says which limit ended it" do
    define_row(budget: { attempts: 4 })
    result = run("row")
    expect(result.state).to eq("error")
    expect(result.results_of("first")).to eq("first")
    expect(result.steps.map { |step| [step.state, step.attempts] })
      .to eq([["complete", 1], ["error", 3], ["pending", 0]])
    status = TaskerCore.status(result.task_id)
    expect(status.budget).to include("max_attempts" => 4, "attempts" => 4, "exhausted" => "attempts")
    expect(TaskerCore.explain(result.task_id)["summary"]).to match(
      /\Aits budget was used up, \S+ \(.* ago\): 1 of 3 steps are complete, 1 failed or may not start, and 1 cannot \
start because of that; tasker budget #{result.task_id} raises it; budget: 4 of 4 attempts\z/
    )
    expect(TaskerCore.explain(result.task_id)["history"].last).to include(
      "cause" => "budget_exhausted", "detail" => include("budget" => "attempts", "attempts" => 4, "max_attempts" => 4)
    )
    expect(summary(result.task_id, "second")).to eq(
      "was not started: its task's budget of attempts was used up (budget: 4 of 4 attempts); " \
      "tasker budget #{result.task_id} raises it"
    )
  end

  it "has a poll that was refused in the middle begin anew where an operator raises it" do
    handler("Poll") { |_, _, step| step.poll(every: 0.05, timeout: 0.2) { false } }
    TaskerCore.define("poll", budget: { attempts: 2 }) { step "only", handler: "Poll" }
    task_id = run("poll").task_id
    expect(summary(task_id, "only")).to match(/\Awas not started: its task's budget of attempts/)
    history = TaskerCore.explain(task_id, step: "only")["steps"].first["history"]
    last_look = Time.iso8601(history.filter_map { |change| change.dig("detail", "poll", "until") }.last)
    wait_until("its time is over") { Time.now > last_look }
    TaskerCore.raise_budget(task_id, attempts: 100)
    working { TaskerCore.wait(task_id, timeout: Workflows::PATIENCE_SECONDS) }
    expect(TaskerCore.status(task_id).attempts_total).to be >= 4
  end

  it "goes on where an operator raises it, and what was used up counts" do
    define_row(budget: { attempts: 4 })
    task_id = run("row").task_id
    expect { TaskerCore.raise_budget(task_id, attempts: 3) }
      .to raise_error(TaskerCore::InvalidArgument, /attempts is 3; allowed: 4 or more/)
    expect { TaskerCore.raise_budget(task_id) }.to raise_error(TaskerCore::InvalidArgument, /budget is {}/)
    told = tasker("budget", task_id.to_s, "--attempts", "6", "--reason", "the bank is back")
    expect(told.status).to eq(0)
    expect(told.out).to match(/budget: +4 of 6 attempts$/)
    working { TaskerCore.wait(task_id, timeout: Workflows::PATIENCE_SECONDS) }
    expect(TaskerCore.status(task_id)).to have_attributes(state: "error", attempts_total: 6)
    handler("Fails") { "it works" }
    TaskerCore.raise_budget(task_id, attempts: 8, actor: "ada")
    working { TaskerCore.wait(task_id, timeout: Workflows::PATIENCE_SECONDS) }
    expect(TaskerCore.status(task_id)).to have_attributes(state: "complete", attempts_total: 8)
    expect(TaskerCore.raise_budget(task_id, attempts: 8).budget).to include("max_attempts" => 8)
    cancelled = TaskerCore.cancel(TaskerCore.submit("row")).task_id
    expect { TaskerCore.raise_budget(cancelled, attempts: 9) }.to raise_error(
      TaskerCore::InvalidTransition, "task #{cancelled} is cancelled: its budget cannot be raised; " \
                                     "allowed: tasks that are neither cancelled nor resolved manually"
    )
  end

  it "keeps a step from being executed anew that could not start, until it is raised" do
    define_row(budget: { attempts: 3 })
    handler("Fails") { "it works" }
    task_id = run("row").task_id
    expect { TaskerCore.rerun(task_id, "third") }.to raise_error(
      TaskerCore::InvalidTransition,
      "step \"third\" of task #{task_id} is complete: it cannot be rerun; allowed: a rerun once the task's budget is " \
      "raised, tasker budget #{task_id}: 3 of 3 attempts are used up"
    )
    expect(TaskerCore.status(task_id).state).to eq("complete")
    TaskerCore.raise_budget(task_id, attempts: 4, actor: "ada")
    expect(TaskerCore.status(task_id)).to have_attributes(state: "complete", budget: include("max_attempts" => 4))
    TaskerCore.rerun(task_id, "third")
    working { TaskerCore.wait(task_id, timeout: Workflows::PATIENCE_SECONDS) }
    expect(TaskerCore.status(task_id)).to have_attributes(state: "complete", attempts_total: 4)
    expect(TaskerCore.client.doctor["ok"]).to be(true)
  end

  it "says of its cost what keeps a step from being executed anew" do
    define_one(reserve_cost: 0.5) { |_, _, step| step.spend(0.6) }
    task_id = TaskerCore.submit("one", budget: { cost: 1 })
    working { TaskerCore.wait(task_id, timeout: Workflows::PATIENCE_SECONDS) }
    expect { TaskerCore.rerun(task_id, "only") }.to raise_error(
      TaskerCore::InvalidTransition, /budget #{task_id}: 0.6 of a cost of 1 is spent, and the step reserves 0.5\z/
    )
  end

  it "tries nothing again where that of a complete task is raised" do
    define_row
    TaskerCore.define("tolerant", budget: { attempts: 1 }) do
      step "first", handler: "Any"
      step "second", handler: "Any", depends_on: "first"
      step "last", handler: "Any", depends_on: "second", join: "all_done", skippable: true
    end
    task_id = run("tolerant").task_id
    TaskerCore.skip(task_id, "last")
    expect(TaskerCore.raise_budget(task_id, attempts: 9).state).to eq("complete")
    expect(TaskerCore.result(task_id).steps.map(&:state)).to eq(%w[complete error skipped])
    expect(TaskerCore.client.doctor["ok"]).to be(true)
  end

  it "is refused where a step reserves more than there is" do
    expect { TaskerCore.define("x", budget: { cost: 1 }) { step "a", handler: "Any", reserve_cost: 2 } }
      .to raise_error(TaskerCore::InvalidTemplate, /reserve_cost \(step "a"\) is 2.0; allowed: at most 1, the cost of/)
  end

  it "asks the submit before the template, each limit for itself" do
    define_row(budget: { attempts: 3, cost: 5 })
    task_id = TaskerCore.submit("row", budget: { attempts: 7 })
    expect(TaskerCore.status(task_id).budget).to include("max_attempts" => 7, "max_cost" => 5.0, "spent" => 0.0)
    told = tasker("submit", "row", "--max-cost", "0.5", "--json")
    expect(TaskerCore.status(told.json["task_id"]).budget).to include("max_attempts" => 3, "max_cost" => 0.5)
    TaskerCore.define("free") { step "only", handler: "Any" }
    expect(TaskerCore.status(TaskerCore.submit("free")).budget).to be_nil
    expect(count("tasker_task_budgets")).to eq(2)
  end

  it "spends what handlers say, also those that fail" do
    define_one(retry_limit: 10, reserve_cost: 0.5) do |_, _, step|
      step.spend(0.1)
      step.spend(0.2)
      raise "once more"
    end
    task_id = TaskerCore.submit("one", budget: { cost: 1 })
    working { TaskerCore.wait(task_id, timeout: Workflows::PATIENCE_SECONDS) }
    expect(TaskerCore.status(task_id)).to have_attributes(
      state: "error", attempts_total: 2,
      budget: include("spent" => 0.6, "max_cost" => 1.0, "reserved" => 0.0, "exhausted" => "cost")
    )
    expect(TaskerCore.explain(task_id, step: "only")["steps"].first["summary"])
      .to start_with("was not started: it reserves 0.5, more than is left of its task's budget (budget: 0.6 of 1 ")
  end

  it "is refused what is no budget" do
    { { attempts: 0 } => /budget.attempts/, { cost: -1 } => /budget.cost/, { tries: 1 } => /budget/, [] => /budget/ }
      .each do |budget, message|
        expect { TaskerCore.submit("row", budget: budget) }.to raise_error(TaskerCore::InvalidArgument, message)
      end
    expect { define_row(budget: { attempts: 0 }) }.to raise_error(TaskerCore::InvalidTemplate, /budget.attempts is 0/)
    expect { define_row(budget: { attemps: 1 }) }.to raise_error(TaskerCore::InvalidTemplate, /attemps/)
    expect { define_one(reserve_cost: -1) { nil } }.to raise_error(TaskerCore::InvalidTemplate, /reserve_cost .*is -1/)
    define_one(retry_limit: 1) { |_, _, step| step.spend("much") }
    expect(run("one").step("only").error["message"]).to start_with('cost is "much", allowed: 0, or a number')
    define_one(retry_limit: 1) { |_, _, step| step.spend(Float::NAN) }
    expect(run("one").step("only").error["message"]).to start_with("cost is NaN, allowed: 0, or a number from 0.000001")
    expect { TaskerCore.raise_budget(TaskerCore.submit("one"), cost: 3) }
      .to raise_error(TaskerCore::InvalidArgument, /the task has no budget/)
  end

  it "refuses costs so small that they would be kept as 0, and keeps those that are 0" do
    allowed = "allowed: 0, or a number from 0.000001 to 1000000000"
    expect { define_one(reserve_cost: 4e-7) { nil } }
      .to raise_error(TaskerCore::InvalidTemplate, /reserve_cost .*is 4e-7; #{allowed}/)
    expect { define_row(budget: { cost: 1e-9 }) }
      .to raise_error(TaskerCore::InvalidTemplate, /budget.cost is 1e-9; #{allowed}/)
    define_row(budget: { cost: 1 })
    task_id = TaskerCore.submit("row", budget: { cost: 0 })
    expect(TaskerCore.status(task_id).budget).to include("max_cost" => 0.0)
    expect { TaskerCore.submit("row", budget: { cost: 1e-9 }) }
      .to raise_error(TaskerCore::InvalidArgument, "budget.cost is 1.0e-09, #{allowed}")
    expect { TaskerCore.raise_budget(task_id, cost: 9e-7) }
      .to raise_error(TaskerCore::InvalidArgument, "budget.cost is 9.0e-07, #{allowed}")
    define_one(retry_limit: 1) { |_, _, step| step.spend(4e-7) }
    expect(run("one").step("only").error["message"]).to eq("cost is 4.0e-07, #{allowed}")
    define_one("least", reserve_cost: 1e-6) { |_, _, step| [step.spend(0), step.spend(Rational(1, 1_000_000))] }
    expect(run("least").results_of("only")).to eq([0.0, 0.000_001])
  end

  it "has in its history who raised it, from what to what, and why" do
    define_row(budget: { attempts: 4, cost: 1 })
    task_id = TaskerCore.submit("row")
    TaskerCore.raise_budget(task_id, attempts: 6, cost: 2.5, actor: "ada", reason: "more to do")
    TaskerCore.raise_budget(task_id, attempts: 6, actor: "eve", reason: "nothing changes")
    raised = { "from" => "pending", "to" => "pending", "cause" => "budget_raised" }
    expect(TaskerCore.explain(task_id)).to include(
      "history" => [include(**raised, "detail" => {
                              "actor" => "ada", "reason" => "more to do",
                              "from" => { "attempts" => 4, "cost" => 1.0 }, "to" => { "attempts" => 6, "cost" => 2.5 }
                            })],
      "summary" => match(/; raised from 4 attempts and a cost of 1 by ada \(more to do\), \S+ \(.* ago\)\z/)
    )
    expect(tasker("events").out)
      .to match(/task\.budget_raised +task #{task_id} +pending > pending .* actor=ada reason=more to do$/)
    working { TaskerCore.wait(task_id, timeout: Workflows::PATIENCE_SECONDS) }
    expect(TaskerCore.status(task_id).state).to eq("error")
    seen = Queue.new
    subscription = TaskerCore.subscribe("task.*") { |event| seen << [event.name, event.from, event.to] }
    working do
      TaskerCore.raise_budget(task_id, attempts: 7, actor: "ada")
      told = Array.new(2) { seen.pop }
      expect(told).to eq([%w[task.budget_raised error error], %w[task.resumed error in_progress]])
      TaskerCore.wait(task_id, timeout: Workflows::PATIENCE_SECONDS)
    end
    history = TaskerCore.explain(task_id)["history"].map { |change| change.values_at("from", "cause", "to") }
    expect(history.each_cons(2)).to include([%w[error budget_raised error], %w[error resumed in_progress]])
    TaskerCore.raise_budget(task_id, attempts: 8)
    TaskerCore.pause(task_id, actor: "mo", reason: "lunch")
    TaskerCore.raise_budget(task_id, cost: 3)
    expect(TaskerCore.explain(task_id)["summary"])
      .to match(/\Apaused by mo \(lunch\), .*; raised from a cost of 2.5 by process/)
    expect(tasker("doctor").status).to eq(0)
  ensure
    TaskerCore.unsubscribe(subscription) if subscription
  end

  it "offers what ends of attempts make free to more and more steps that waited for it" do
    inside = Queue.new
    handler("Large") { sleep(0.2) }
    # Each waits until three are there.
    handler("Small") do |_, _, step|
      inside << step.name
      sleep(0.01) until inside.size >= 3
    end
    TaskerCore.define("mixed", budget: { cost: 1 }) do
      step "large", handler: "Large", reserve_cost: 1, retryable: false
      # One after the other, until what the large one had reserved is used by several.
      8.times { |number| step "first_#{number}", handler: "Large", reserve_cost: 0.1 }
      8.times { |number| step "small_#{number}", handler: "Small", reserve_cost: 0.1 }
    end
    result = run("mixed", worker: { concurrency: 5 })
    expect(result.steps.map(&:state).tally).to eq("complete" => 17)
    expect(seconds(result.task_id)).to be < 10
  end

  # Each waits until four are there.
  def define_waiting(name, first:, reserve:, inside:)
    handler("First", &first)
    handler("Small") do |_, _, step|
      inside << step.name
      sleep(0.01) until inside.size >= 4
    end
    TaskerCore.define(name, budget: { cost: 1 }) do
      step "first", handler: "First", reserve_cost: 1
      4.times { |number| step "small_#{number}", handler: "Small", reserve_cost: reserve }
    end
  end

  # Seconds that a task took; after ten steps are looked at anyhow.
  def seconds(task_id)
    taken = "SELECT extract(epoch FROM finished_at - started_at)::float AS taken FROM tasker_tasks"
    sql("#{taken} WHERE task_id = #{task_id}").first["taken"].to_f
  end

  it "lets as many steps begin as one that ends makes room for" do
    held = Queue.new
    define_waiting("roomy", first: proc { held.pop }, reserve: 0.25, inside: Queue.new)
    task_id = TaskerCore.submit("roomy")
    working(concurrency: 5) do
      wait_until("the others are put off") { count("tasker_ready_steps WHERE postponed") == 4 }
      held << 1
      TaskerCore.wait(task_id, timeout: 30)
    end
    expect(seconds(task_id)).to be < 10
  end

  it "lets steps that waited for it begin where it is raised" do
    inside, held = Array.new(2) { Queue.new }
    define_waiting("raised", first: proc { held.pop }, reserve: 1, inside: inside)
    task_id = TaskerCore.submit("raised")
    working(concurrency: 5) do
      wait_until("the others are put off") { count("tasker_ready_steps WHERE postponed") == 4 }
      expect(summary(task_id, "small_0")).to eq(
        "ready, and waits for a part of its task's budget: it reserves 1, and 0 of 1 is free " \
        "(0 spent, 1 reserved by first)"
      )
      TaskerCore.raise_budget(task_id, cost: 10)
      wait_until("all have begun") { inside.size >= 4 }
      held << 1
      TaskerCore.wait(task_id, timeout: 30)
    end
    expect(seconds(task_id)).to be < 10
  end

  it "is not overshot by steps that run beside each other, in whichever of two processes" do
    workflow = File.join(CommandLine::ROOT, "spec/fixtures/budgets_workflow.rb")
    load workflow
    ids = in_two_processes(workflow) do
      submitted = Array.new(4) { TaskerCore.submit("spending", budget: { cost: 2 }) }
      submitted += Array.new(4) { TaskerCore.submit("spending", budget: { attempts: 7 }) }
      submitted.each { |id| TaskerCore.wait(id, timeout: 60) }
    end
    expect(ids.first(4).map { |id| states(id) }).to all(eq("complete" => 6, "error" => 14))
    expect(ids.last(4).map { |id| states(id) }).to all(eq("complete" => 7, "error" => 13))
    expect(ids.first(4).map { |id| TaskerCore.status(id).budget["spent"] }).to all(eq(1.8))
    expect(sql("SELECT DISTINCT worker_id FROM tasker_attempts").size).to eq(2)
  end
end
