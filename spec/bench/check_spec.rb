# frozen_string_literal: true

require_relative "../../bench/engine/check"
require_relative "small_run"

RSpec.describe Bench::Check do
  # The worker runs once; each example spoils a copy of what it left.
  before(:context) do
    @drained = TestServer.create_database
    @executions = SmallRun.drain(TestServer.url_of(@drained)).executions
  end

  after(:context) { TestServer.drop_database(@drained) }

  around do |example|
    name = "#{@drained}_copy"
    execute(TestServer.url, "CREATE DATABASE #{name} TEMPLATE #{@drained}")
    @url = TestServer.url_of(name)
    example.run
  ensure
    TestServer.drop_database(name)
  end

  def execute(url, statements)
    connection = PG.connect(url)
    connection.exec(statements)
  ensure
    connection&.close
  end

  def check(url = @url)
    described_class.new(SmallRun::SETTINGS, url)
  end

  it "finds nothing after a run in which all went well" do
    expect([@executions, check.after_drain(executions: 10)]).to eq([10, []])
  end

  it "finds handlers that were executed too often, and a worker that did not end in order" do
    expect(check.after_drain(executions: 11, in_order: false))
      .to eq(["handlers started 11 times for 10 steps", "a worker could not record everything before it ended"])
  end

  # The last step of the first task.
  last = 1_048_580
  { "a task that is missing" =>
      ["DELETE FROM tasker_tasks WHERE task_id = 1", /there are 1 tasks, not 2/],
    "a task that is not complete" =>
      ["UPDATE tasker_tasks SET state = 'in_progress', finished_at = NULL WHERE task_id = 1",
       /tasks are complete: 1 do not, for instance task 1 is in_progress/],
    "a step that is missing" =>
      ["DELETE FROM tasker_workflow_steps WHERE workflow_step_id = #{last}", /have all .* task 1 has 4/],
    "a step that is not complete" =>
      ["UPDATE tasker_workflow_steps SET state = 'error', results = NULL WHERE workflow_step_id = #{last}",
       /steps are complete: .* step #{last} is error/],
    "an edge that is missing" =>
      ["DELETE FROM tasker_workflow_step_edges WHERE to_step_id = #{last} AND from_step_id = #{last - 1}",
       /there are 11 edges, not 12/],
    "a step without an attempt" =>
      ["DELETE FROM tasker_attempts WHERE workflow_step_id = #{last}", /step #{last} has none/],
    "a step with two attempts" =>
      [<<~SQL, /step #{last} has succeeded and succeeded/],
        INSERT INTO tasker_attempts
        SELECT workflow_step_id, 2, worker_id, outcome, claimed_at, finished_at FROM tasker_attempts
        WHERE workflow_step_id = #{last}
      SQL
    "an attempt that failed" =>
      ["UPDATE tasker_attempts SET outcome = 'retryable' WHERE workflow_step_id = #{last}", /#{last} has retryable/],
    "an attempt of a step that is not there" =>
      ["UPDATE tasker_attempts SET workflow_step_id = 77 WHERE workflow_step_id = #{last}", /step 77 has succeeded/],
    "a change of state that is missing" =>
      ["DELETE FROM tasker_workflow_step_transitions WHERE workflow_step_id = #{last} AND to_state = 'complete'",
       /step #{last} went .*in_progress$/],
    "a change of state that is doubled" =>
      [<<~SQL, /step #{last} went .*in_progress > complete, in_progress > complete/],
        INSERT INTO tasker_workflow_step_transitions (workflow_step_id, from_state, to_state, event, attempt)
        SELECT workflow_step_id, from_state, to_state, event, attempt FROM tasker_workflow_step_transitions
        WHERE workflow_step_id = #{last} AND to_state = 'complete'
      SQL
    "a step that started as if it had no parents" =>
      [<<~SQL, /step #{last} went enqueued > in_progress, in_progress > complete/],
        DELETE FROM tasker_workflow_step_transitions WHERE workflow_step_id = #{last} AND from_state <> 'in_progress';
        INSERT INTO tasker_workflow_step_transitions OVERRIDING SYSTEM VALUE
        VALUES (#{last}, 0, 'enqueued', 'in_progress', 'claimed', 1)
      SQL
    "a step that began before its parents had ended" =>
      ["UPDATE tasker_attempts SET claimed_at = claimed_at - interval '1 h' WHERE workflow_step_id = #{last}",
       /after those of the parents have ended: 3 do not, .*step #{last} began .* before/],
    "a claim that was recorded before the ends of the parents" =>
      [<<~SQL, /step #{last} was claimed .* before step \d+ was complete/],
        UPDATE tasker_workflow_step_transitions SET created_at = created_at - interval '1 h'
        WHERE workflow_step_id = #{last} AND to_state = 'in_progress'
      SQL
    "a step that can be claimed although it is complete" =>
      ["INSERT INTO tasker_ready_steps VALUES (#{last}, 'default', now())", /tasker doctor: ready_steps:/] }
    .each do |what, (statements, message)|
    it "finds #{what}" do
      execute(@url, statements)
      expect(check.after_drain(executions: 10)).to include(message)
    end
  end

  it "finds tasks that do not wait to be executed as they should", :database, doctor: false do
    SmallRun.submit(database_url)
    expect(check(database_url).after_creation).to eq([])
    execute(database_url, "UPDATE tasker_workflow_steps SET open_parents = 1 WHERE workflow_step_id = #{last}")
    expect(check(database_url).after_creation).to include(/step #{last} is pending with 1 of 3 parents open/)
  end
end
