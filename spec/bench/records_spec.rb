# frozen_string_literal: true

require "pg"
require_relative "../../bench/engine/records"
require_relative "small_run"

RSpec.describe Bench::Records do
  # The worker runs once; what an example spoils is undone after it.
  before(:context) do
    @name = TestServer.create_database
    SmallRun.drain(TestServer.url_of(@name))
  end

  after(:context) { TestServer.drop_database(@name) }

  around do |example|
    @connection = PG.connect(TestServer.url_of(@name))
    @connection.exec("BEGIN")
    example.run
  ensure
    @connection.close
  end

  def problems
    described_class.new(SmallRun::SETTINGS, @connection).problems(Bench::RecordQueries::COMPLETE)
  end

  it "finds nothing after a run in which all went well" do
    expect(problems).to eq([])
  end

  last = SmallRun::LAST_STEP
  { "a task that is missing" =>
      ["DELETE FROM tasker_tasks WHERE task_id = 1", /there are 1 tasks, not 2/],
    "a task that is not complete" =>
      ["UPDATE tasker_tasks SET state = 'in_progress', finished_at = NULL WHERE task_id = 1",
       /tasks are complete: 1 do not, for instance task 1 is in_progress/],
    "a step that is missing" =>
      ["DELETE FROM tasker_workflow_steps WHERE workflow_step_id = #{last}", /have all .* task 1 has 4/],
    "steps that are too few" =>
      ["DELETE FROM tasker_workflow_steps WHERE workflow_step_id = #{last}", /there are 9 steps, not 10/],
    "a step that is not complete" =>
      ["UPDATE tasker_workflow_steps SET state = 'error', results = NULL WHERE workflow_step_id = #{last}",
       /steps are complete: .* step #{last} is error/],
    "an edge that is missing" =>
      ["DELETE FROM tasker_workflow_step_edges WHERE to_step_id = #{last} AND from_step_id = #{last - 1}",
       /there are 11 edges, not 12/],
    "a step without an attempt" =>
      ["UPDATE tasker_workflow_step_transitions SET outcome = NULL, claimed_at = NULL, execution_us = NULL " \
       "WHERE workflow_step_id = #{last}", /step #{last} has none/],
    "a step with two attempts" =>
      [<<~SQL, /step #{last} has succeeded and succeeded/],
        INSERT INTO tasker_workflow_step_transitions
          (workflow_step_id, from_state, to_state, event, attempt, worker_id, claimed_at, outcome)
        SELECT workflow_step_id, 'in_progress', 'complete', 'succeeded', 2, worker_id, claimed_at, outcome
        FROM tasker_attempts WHERE workflow_step_id = #{last}
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
    "a claim that was recorded before the ends of the parents" =>
      [<<~SQL, /step #{last} was claimed .* before step \d+ was complete/],
        UPDATE tasker_workflow_step_transitions SET created_at = created_at - interval '1 h'
        WHERE workflow_step_id = #{last} AND to_state = 'in_progress'
      SQL
    "a step that began before its parents had ended" =>
      ["UPDATE tasker_attempts SET claimed_at = claimed_at - interval '1 h' WHERE workflow_step_id = #{last}",
       /after those of the parents have ended: 3 do not, .*step #{last} began .* before/] }
    .each do |what, (statements, message)|
    it "finds #{what}" do
      @connection.exec(statements)
      expect(problems).to include(message)
    end
  end
end
