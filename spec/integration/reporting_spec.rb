# frozen_string_literal: true

RSpec.describe "The views for reports", :database do
  include Workflows

  page = File.read(File.expand_path("../../docs/reporting.md", __dir__))
  questions = page[/^```sql\n(.*?)^```/m, 1].split(/;\n+/)
  documented = page.scan(/^### `(\w+)`\n\n\| column.*\n.*\n((?:\|.*\n)+)/).to_h.transform_values do |rows|
    rows.lines.flat_map { |row| row.split("|")[1].scan(/`(\w+)`/).flatten }
  end

  # A task with a step of every kind; it waits for a signal, and then fails.
  before do
    handler("Any") { |task| task.context.slice("n") }
    handler("Flaky") { |_, _, step| step.attempt == 1 ? raise(TaskerCore::RetryableError, "not yet") : 7 }
    handler("Refuse") { raise TaskerCore::PermanentError.new("no funds", error_code: "NO_FUNDS") }
    handler("Split") { |_, _, step| 2.times { |n| step.add("part #{n}", like: "part", before: "last") } }
    handler("Ask") { |_, _, step| step.wait_for("approved") }
    TaskerCore.define("inner") { step "only", handler: "Any" }
    TaskerCore.define("all", namespace: "shop", version: "1.2.0") do
      step "split", handler: "Split"
      step "last", handler: "Any", depends_on: "split", queue: "slow"
      step "part", handler: "Any", dynamic: true
      step "flaky", handler: "Flaky", depends_on: "last", retry: Workflows::RETRY_AT_ONCE
      step "each", handler: "Any", depends_on: "flaky", map: { over: "context.list" }
      step "run", workflow: "inner", depends_on: "last"
      step "ask", handler: "Ask"
      step "refused", handler: "Refuse", depends_on: %w[ask each run]
      step "never", handler: "Any", depends_on: "refused"
    end
  end

  let(:task_id) do
    TaskerCore.submit("all", namespace: "shop", context: { n: 1, list: [1, 2, 3] }, tags: ["x"], initiator: "me",
                             budget: { attempts: 50 }, source_system: "web", deadline: 600)
  end

  # Works until nothing is left but to wait for the signal.
  def settle
    working do
      wait_until("it waits", within: Workflows::PATIENCE_SECONDS) do
        TaskerCore.status(task_id).steps_by_state == { "complete" => 10, "waiting" => 1, "pending" => 2 }
      end
    end
  end

  def fail_it
    TaskerCore.signal(task_id, "approved", { by: "mara" })
    working { TaskerCore.wait(task_id, timeout: Workflows::PATIENCE_SECONDS) }
  end

  # Rows of the task as JSON has them.
  def rows(view)
    sql("SELECT to_jsonb(v)::text AS row FROM tasker_#{view}_overview v WHERE task_id = $1", task_id)
      .map { |row| JSON.parse(row.fetch("row")) }
  end

  # Those that a result has.
  def steps_but_items
    rows("step").select { |step| step["item_index"].nil? }.sort_by { |step| step["step_name"] }
  end

  # Names of children => names of their parents.
  def parents
    edges = rows("edge").map { |edge| edge.values_at("to_step_name", "from_step_name") }
    names = edges.reject { |_, parent| parent.end_with?("]") }.group_by(&:first)
    names.transform_values { |pairs| pairs.map(&:last).sort }
  end

  # As the client tells it, and the views.
  def told_of_steps
    result = TaskerCore.result(task_id).steps.sort_by(&:name).map do |step|
      [step.name, step.state, step.attempts, step.results, step.execution_ms, step.error, step.depends_on.sort]
    end
    words = %w[step_name state attempts_total results execution_ms error]
    known = parents
    [result, steps_but_items.map { |step| [*step.values_at(*words), known.fetch(step["step_name"], [])] }]
  end

  def told_of_times
    [TaskerCore.result(task_id).steps.sort_by(&:name).map { |step| [step.name, step.started_at, step.finished_at] },
     steps_but_items.map { |step| [step["step_name"], *times(step, "started_at", "finished_at")] }]
  end

  def times(row, *names)
    row.values_at(*names).map { |at| at && Time.iso8601(at) }
  end

  def told_of_task
    status = TaskerCore.status(task_id)
    words = %w[namespace version state steps_total initiator source_system reason tags budget]
    names = %w[requested_at started_at finished_at deadline_at]
    task = rows("task").first
    [[status.name, *status.to_h.values_at(*words.map(&:to_sym)), *names.map { |name| status.public_send(name) },
      status.steps_by_state, status.attempts_total],
     [task["template"], *task.values_at(*words), *times(task, *names),
      rows("step").map { |step| step["state"] }.tally, rows("attempt").size]]
  end

  def expect_agreement
    [told_of_task, told_of_steps, told_of_times].each { |client, views| expect(views).to match_array(client) }
  end

  it "have the columns that are documented" do
    columns = sql("SELECT table_name AS view, array_to_json(array_agg(column_name)) AS names " \
                  "FROM information_schema.columns WHERE table_name LIKE '%\\_overview' GROUP BY 1")

    expect(columns.to_h { |row| [row["view"], JSON.parse(row["names"]).sort] })
      .to eq(documented.transform_values(&:sort))
  end

  it "tell of a task that waits what the client tells, and for what" do
    settle
    expect_agreement

    ask = rows("step").find { |step| step["step_name"] == "ask" }
    expect(ask).to include("state" => "waiting", "event" => "went_waiting", "signal" => "approved",
                           "task_state" => "waiting", "available_at" => start_with("9999-12-31"), "postponed" => false)
  end

  it "tell of a task that failed what the client tells, with its items and what was added" do
    fail_it
    expect_agreement
    steps = rows("step")

    expect(steps.map { |step| step.values_at("step_name", "template_step", "item_index", "queue") }).to include(
      ["each[2]", "each", 2, "default"], ["part 1", "part", nil, "default"], ["last", "last", nil, "slow"]
    )
    expect(steps.filter_map { |step| step["results"] if step["item_index"] })
      .to eq(TaskerCore.items(task_id, "each").map(&:results))
    expect(steps.map { |step| step["signal"] }.compact).to be_empty
    child = TaskerCore.status(task_id).children.first.fetch("task_id")
    run = sql("SELECT s.step_name FROM tasker_step_overview s " \
              "JOIN tasker_task_overview t ON t.parent_step_id = s.step_id WHERE t.task_id = $1", child)
    expect(run).to eq([{ "step_name" => "run" }])
  end

  it "tell each attempt and each change of state" do
    settle
    fail_it
    attempts = rows("attempt").group_by { |attempt| attempt["step_name"] }
    changes = rows("transition").sort_by { |change| change["transition_id"] }

    expect(attempts.transform_values(&:size)).to include("flaky" => 2, "each[0]" => 1, "part 1" => 1, "refused" => 1)
    expect(attempts["refused"].first).to include(
      "outcome" => "permanent", "error_class" => "TaskerCore::PermanentError", "error_code" => "NO_FUNDS",
      "error_message" => "no funds", "encrypted" => false, "template" => "all", "namespace" => "shop"
    )
    refused = changes.select { |change| change["step_name"] == "refused" }
    expect(refused.map { |change| change.values_at("to_state", "event") }).to eq(
      [%w[enqueued parents_completed], %w[in_progress claimed], %w[error failed_permanently]]
    )
    expect(changes.select { |change| change["step_id"].nil? }.map { |change| change["event"] })
      .to start_with("started").and end_with("resumed", "failed")
    expect(changes.size).to eq(count("tasker_workflow_step_transitions WHERE workflow_step_id >> 20 = #{task_id}") +
                               count("tasker_task_transitions WHERE task_id = #{task_id}"))
  end

  it "show nothing of what is retired but its history" do
    fail_it
    before = rows("attempt").size
    TaskerCore.rerun(task_id, "split")
    working { TaskerCore.wait(task_id, timeout: Workflows::PATIENCE_SECONDS) }

    expect(TaskerCore.status(task_id).steps_retired).to be > 2
    expect_agreement
    expect(rows("attempt").size).to be > before
    retired = rows("attempt").map { |attempt| attempt["step_id"] } - rows("step").map { |step| step["step_id"] }
    expect(retired).not_to be_empty
    ends = rows("edge").flat_map { |edge| edge.values_at("from_step_id", "to_step_id") }
    expect(ends - rows("step").map { |step| step["step_id"] }).to eq([])
  end

  it "answer the questions that the documentation asks" do
    fail_it
    TaskerCore.submit("inner")
    answers = questions.map { |question| sql(question.sub("task_id = 42", "task_id = #{task_id}")) }

    expect(questions.size).to eq(7)
    expect(answers).to all(satisfy(&:any?))
    expect(answers[2].find { |row| row["template"] == "all" }).to include("mostly" => "TaskerCore::PermanentError")
    expect(answers[4].map { |row| row.values_at("template", "state") }).to eq([%w[inner enqueued]])
    expect(answers[5].map { |row| row.values_at("from_step_name", "to_step_name") }).to include(%w[ask refused])
  end

  it "show nothing of a task that is gone, also while its rows are on their way out" do
    fail_it
    connection = PG.connect(database_url)
    connection.exec("BEGIN; SET LOCAL tasker.pruning = 'on'; DELETE FROM tasker_tasks")
    shown = documented.keys.map { |view| connection.exec("SELECT FROM #{view}").ntuples }

    expect(shown).to eq([0] * 5)
    expect(connection.exec("SELECT FROM tasker_workflow_steps").ntuples).to be > 9
  ensure
    connection&.close
  end
end
