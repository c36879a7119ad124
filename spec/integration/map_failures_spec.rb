# frozen_string_literal: true

RSpec.describe "Map steps more of whose items failed than may", :database do
  include Workflows

  # What each step below the map step waits for.
  let(:joins) do
    { "report" => "all_done", "clean" => "none_failed", "either" => "any_complete", "both" => { quorum: 2 },
      "sum" => "all_complete" }
  end

  # Items fail that the context names, in their first attempts; the steps below have a second parent.
  def define_joins(map: {}, joins: self.joins, **options)
    handler("List") { |task| task.context["list"] }
    handler("Each") do |task, _, step|
      raise TaskerCore::PermanentError, "no" if task.context["bad"].include?(step.item) && step.attempt == 1

      step.item
    end
    handler("State") { |_, sequence| sequence.state_of("each") }
    TaskerCore.define("joins", **options) do
      step "list", handler: "List"
      step "beside", handler: "List"
      step "each", handler: "Each", depends_on: "list", skippable: true, map: { over: "results.list", **map }
      joins.each { |name, join| step name, handler: "State", depends_on: %w[each beside], join: join }
    end
  end

  # Two workers until the task is settled.
  def settled(task_id)
    working { working { TaskerCore.wait(task_id, timeout: Workflows::PATIENCE_SECONDS) } }
    expect(TaskerCore.client.doctor).to include("ok" => true)
    TaskerCore.result(task_id)
  end

  # How many steps a budget has refused, and in how many transactions.
  def refused
    sql("SELECT count(*), count(DISTINCT created_at) AS sets FROM tasker_workflow_step_transitions " \
        "WHERE event = 'budget_exhausted'").first.values.map(&:to_i)
  end

  def submit(list, bad, **map)
    define_joins(map: map)
    TaskerCore.submit("joins", context: { list: list, bad: bad })
  end

  def states(result, *names)
    names.map { |name| result.step(name).state }
  end

  it "are in error for the steps below as any parent that failed" do
    result = settled(submit([1, 2, 3, 4], [2, 3], tolerate: 1))
    expect(states(result, "each", *joins.keys)).to eq(%w[error complete pending complete pending pending])
    expect(result.results_of("report")).to eq("error")
    expect([result.state, result.step("report").attempts]).to eq(["error", 1])
    expect(result.step("each").error).to include("code" => "MAP_ITEMS_FAILED", "class" => "TaskerCore::PermanentError")
    # Items that had not begun when the second one failed are given up.
    failed = TaskerCore.each_item(result.task_id, "each").select { |item| item.state == "error" }
    expect(failed.map(&:index)).to include(1, 2)
    expect(result.step("each").error["message"])
      .to eq("#{failed.size} of 4 items failed and 1 may; the first of them: each[#{failed.first.index}]")
  end

  it "go on when what failed is tried again, and so do the steps below that still wait" do
    task_id = submit([1, 2, 3, 4], [2, 3], tolerate: 0)
    settled(task_id)
    handler("Each") { |_, _, step| step.item }
    TaskerCore.retry(task_id, step: "each[1]")
    expect(states(TaskerCore.result(task_id), "each", "report", "sum")).to eq(%w[pending complete pending])
    expect(states(settled(task_id), "each", "sum")).to eq(%w[error pending])
    expect(TaskerCore.retry(task_id, step: "each").steps_by_state["enqueued"]).to eq(
      TaskerCore.each_item(task_id, "each").count { |item| item.state == "enqueued" }
    )
    result = settled(task_id)
    expect(states(result, "each", *joins.keys)).to all(eq("complete"))
    expect(result.results_of("each")).to eq("items" => 4, "complete" => 4, "failed" => 0, "skipped" => 0)
    expect([result.results_of("report"), result.step("report").attempts, result.results_of("sum")])
      .to eq(["error", 1, "complete"])
  end

  it "leave a task complete whose steps below all get over it" do
    define_joins(joins: { "report" => "all_done" })
    task_id = TaskerCore.submit("joins", context: { list: [1], bad: [1] })
    result = settled(task_id)
    expect([result.state, *states(result, "each", "report")]).to eq(%w[complete error complete])
    expect(TaskerCore.explain(task_id, step: "each")["steps"].first["summary"])
      .to eq("failed by its items: 0 of 1 items are complete, 1 failed and none may; look at each[0] (error)")
  end

  it "have no attempt and use up no budget where they are given up, and leave it to be seen which failed first",
     :aggregate_failures do
    define_joins(map: { max_parallel: 2 }, budget: { attempts: 10 })
    task_id = TaskerCore.submit("joins", context: { list: [*1..20], bad: [1] })
    result = settled(task_id)
    status = TaskerCore.status(task_id)
    expect([result.state, status.budget["exhausted"]]).to eq(["error", nil])
    expect(status.budget["attempts"]).to eq(status.attempts_total).and be < 10
    given_up = TaskerCore.each_item(task_id, "each").select { |item| item.state == "error" }.drop(1)
    expect(given_up.map(&:attempts)).to all(eq(0))
    expect(given_up.size).to be >= 17
    last = TaskerCore.result(task_id, step: "each[19]").steps.first
    expect(last.error).to include("code" => "MAP_GIVEN_UP", "class" => "TaskerCore::PermanentError")
    expect(TaskerCore.failures(task_id: task_id).map(&:step)).to eq(%w[each[0] each])
    expect(TaskerCore.failures(task_id: task_id, step: "each[19]").map(&:code)).to eq(["MAP_GIVEN_UP"])
    expect(TaskerCore.explain(task_id, step: "each")["steps"].first["summary"])
      .to end_with("(#{given_up.size} of them without an attempt) and none may; look at each[0] (error)")
    handler("Each") { |_, _, step| step.item }
    TaskerCore.raise_budget(task_id, attempts: 100)
    TaskerCore.retry(task_id)
    expect(settled(task_id).results_of("each")).to include("complete" => 20)
  end

  it "end in sets where they have not begun, each with its event, and are not claimed for that", :aggregate_failures do
    task_id = submit([*1..4_500], [1], max_parallel: 1)
    result = settled(task_id)
    expect(result.step("each").error["message"])
      .to eq("4500 of 4500 items failed and none may; the first of them: each[0]")
    changes = sql("SELECT event, count(*) FROM tasker_workflow_step_transitions JOIN tasker_added_steps " \
                  "USING (workflow_step_id) GROUP BY event").to_h { |row| [row["event"], row["count"].to_i] }
    expect(changes).to include("failed_permanently" => 1, "item_given_up" => 4_499, "claimed" => be < 10)
    last = TaskerCore.explain(task_id, step: "each[4499]")["steps"].first
    expect(last["summary"]).to match(
      /\A\d+ items of the map step have failed and none may: .*; the first that failed: each\[0\]; item 4499 of each\z/
    )
    expect(last["history"].map { |change| [change["from"], change["cause"]] }).to eq([%w[pending item_given_up]])
    expect(TaskerCore.failures(task_id: task_id).map(&:step)).to eq(%w[each[0] each])
  end

  it "have all attempts that the budget allows, also where the claim of the first ones refuses the others",
     :aggregate_failures do
    define_joins(joins: {}, budget: { attempts: 10 })
    task_id = TaskerCore.submit("joins", context: { list: [*1..20], bad: [] })
    working(concurrency: 40) { TaskerCore.wait(task_id, timeout: Workflows::PATIENCE_SECONDS) }
    expect(TaskerCore.client.doctor).to include("ok" => true)
    status = TaskerCore.status(task_id)
    expect(status).to have_attributes(state: "error", attempts_total: 10)
    expect(status.budget).to include("attempts" => 10, "exhausted" => "attempts")
    items = TaskerCore.each_item(task_id, "each").map { |item| [item.state, item.attempts] }
    expect(items.tally).to eq(["complete", 1] => 8, ["error", 0] => 12)
    expect(TaskerCore.explain(task_id)["history"].last["cause"]).to eq("budget_exhausted")
    TaskerCore.raise_budget(task_id, attempts: 22)
    expect(settled(task_id).state).to eq("complete")
  end

  it "are refused by a used-up budget in sets where they have not begun, each with its event, and go on with a raise",
     :aggregate_failures do
    define_joins(map: { max_parallel: 2 }, joins: {}, budget: { attempts: 12 })
    task_id = TaskerCore.submit("joins", context: { list: [*1..2_500], bad: [] })
    message = settled(task_id).step("each").error["message"]
    # Which of them have the last attempts is up to the claims.
    first = TaskerCore.each_item(task_id, "each").find { |item| item.state == "error" }
    expect(message).to eq("2490 of 2500 items failed and none may; the first of them: each[#{first.index}]")
    expect(refused).to match([2_490, be < 10])
    expect(TaskerCore.status(task_id).budget).to include("attempts" => 12, "exhausted" => "attempts")
    last = TaskerCore.explain(task_id, step: "each[2499]")["steps"].first
    expect(last["history"].map { |change| [change["from"], change["cause"]] }).to eq([%w[pending budget_exhausted]])
    # Those that an operator has tried again as well.
    TaskerCore.retry(task_id)
    settled(task_id)
    expect(refused).to match([2 * 2_490, be < 20])
    TaskerCore.raise_budget(task_id, attempts: 5_000)
    expect(settled(task_id).results_of("each")).to include("complete" => 2_500)
  end

  it "are given up, and not refused by the budget, where others failed with the last attempts that it allows",
     :aggregate_failures do
    define_joins(map: { max_parallel: 1 }, joins: { "sum" => "all_complete" }, budget: { attempts: 3 })
    task_id = TaskerCore.submit("joins", context: { list: [*1..5], bad: [1] })
    expect(settled(task_id).state).to eq("error")
    expect(TaskerCore.status(task_id).budget).to include("attempts" => 3, "exhausted" => nil)
    expect(TaskerCore.explain(task_id)["history"].last["cause"]).to eq("failed")
    expect(TaskerCore.result(task_id, step: "each[4]").steps.first.error).to include("code" => "MAP_GIVEN_UP")
    # One for which an operator asks is what the budget refuses.
    TaskerCore.retry(task_id, step: "each[4]")
    settled(task_id)
    expect(TaskerCore.status(task_id).budget).to include("attempts" => 3, "exhausted" => "attempts")
  end

  it "are executed for which an operator asks, also while too many others are in error" do
    task_id = submit([1, 2, 3, 4], [1], max_parallel: 1)
    settled(task_id)
    TaskerCore.retry(task_id, step: "each[3]")
    items = settled(task_id) && TaskerCore.each_item(task_id, "each").map { |item| [item.state, item.attempts] }
    expect(items).to eq([["error", 1], ["error", 0], ["error", 0], ["complete", 1]])
  end

  it "are not executed for when they were skipped, and the task is tried again" do
    define_joins(joins: { "report" => "all_complete" })
    task_id = TaskerCore.submit("joins", context: { list: [1], bad: [1] })
    settled(task_id)
    handler("List") { raise TaskerCore::PermanentError, "no" }
    TaskerCore.rerun(task_id, "beside")
    settled(task_id)
    TaskerCore.skip(task_id, "each")
    handler("List") { [] }
    TaskerCore.retry(task_id)
    settled(task_id)
    items = TaskerCore.each_item(task_id, "each").map { |item| [item.state, item.attempts] }
    expect(items).to eq([["error", 1]])
    expect(TaskerCore.result(task_id).step("beside").state).to eq("complete")
  end

  it "complete when so many of them are skipped or resolved that no more failed than may" do
    task_id = submit([1, 2, 3], [1, 2, 3], tolerate: 1, max_parallel: 1)
    settled(task_id)
    TaskerCore.skip(task_id, "each[0]")
    expect(states(TaskerCore.result(task_id), "each", "sum")).to eq(%w[error pending])
    TaskerCore.resolve(task_id, "each[2]", results: 7)
    result = settled(task_id)
    expect(states(result, "each", "sum", "clean")).to all(eq("complete"))
    expect(result.results_of("each")).to eq("items" => 3, "complete" => 1, "failed" => 1, "skipped" => 1)
  end

  it "are found by the doctor where they have not ended with their items, or do not count them" do
    settled(submit([1, 2], [1, 2]))
    broken = lambda do |change|
      sql("UPDATE tasker_workflow_steps SET #{change} WHERE named_step_id = " \
          "(SELECT named_step_id FROM tasker_named_steps WHERE name = 'each') " \
          "AND workflow_step_id NOT IN (SELECT workflow_step_id FROM tasker_added_steps)")
      TaskerCore.client.doctor["checks"].reject { |check| check["ok"] }.map { |check| check["name"] }
    end
    expect(broken.call("failed_parents = 1")).to eq(["open_parents"])
    expect(broken.call("failed_parents = 2, state = 'pending'")).to include("map_steps")
    expect(broken.call("state = 'error'")).to eq([])
  end

  it "can be skipped themselves, and executed anew" do
    task_id = submit([1, 2], [1])
    settled(task_id)
    TaskerCore.rerun(task_id, "each")
    expect(states(settled(task_id), "each", "report", "sum")).to eq(%w[error complete pending])
    TaskerCore.skip(task_id, "each")
    result = settled(task_id)
    expect(states(result, "each", *joins.keys)).to eq(%w[skipped complete complete complete skipped skipped])
  end
end
