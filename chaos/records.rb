# frozen_string_literal: true

require "json"
require_relative "record"

module Chaos
  # Reads {Record}s from the engine's tables and the ledger.
  class Records
    # Tasks that are read at once.
    BATCH = 500
    TASKS = <<~SQL.freeze
      SELECT t.task_id, n.name, t.state, t.context->>'seed' AS seed, t.context->>'deadline' AS deadline
      FROM tasker_tasks t JOIN tasker_named_tasks n USING (named_task_id)
      WHERE t.task_id > $1 ORDER BY t.task_id LIMIT #{BATCH}
    SQL
    STEPS = <<~SQL
      SELECT s.workflow_step_id, s.task_id, n.name, s.state, s.attempts, s.results
      FROM tasker_workflow_steps s JOIN tasker_named_steps n USING (named_step_id)
      WHERE s.task_id BETWEEN $1 AND $2 ORDER BY s.workflow_step_id
    SQL
    TRANSITIONS = <<~SQL
      SELECT workflow_step_id, from_state, to_state, event, attempt, outcome
      FROM tasker_workflow_step_transitions
      WHERE workflow_step_id >= $1::bigint << 20 AND workflow_step_id < ($2::bigint + 1) << 20
      ORDER BY workflow_step_id, workflow_step_transition_id
    SQL
    EXECUTIONS = <<~SQL
      SELECT step_id, attempt, pid, started_ns, finished_ns, outcome
      FROM chaos.ledger WHERE task_id BETWEEN $1 AND $2 ORDER BY started_ns
    SQL
    # Rows of the ledger whose step the engine does not have.
    FOREIGN = <<~SQL
      SELECT task_id, step_id, attempt FROM chaos.ledger l
      WHERE NOT EXISTS (SELECT FROM tasker_workflow_steps s WHERE s.workflow_step_id = l.step_id)
    SQL

    # @param server [Server]
    # @param receipts [Array<Load::Receipt>]
    def initialize(server, receipts)
      @server = server
      @receipts = receipts.to_h { |receipt| [receipt.task_id, receipt] }
    end

    # @yieldparam record [Record] of each task in the database
    # @return [void]
    def each(&block)
      last = 0
      until (tasks = @server.rows(TASKS, [last])).empty?
        first, last = tasks.values_at(0, -1).map { |task| task["task_id"].to_i }
        steps = steps(first, last)
        tasks.each { |task| block.call(record(task, steps)) }
      end
    end

    # @return [Array<Hash{String => String}>] task_id, step_id and attempt of executions of steps that are not there
    def foreign
      @server.rows(FOREIGN)
    end

    private

    def record(task, steps)
      id = task["task_id"].to_i
      Record.new(id: id, template: task["name"], state: task["state"], seed: task["seed"].to_i,
                 deadline: !task["deadline"].nil?,
                 steps: steps.fetch(task["task_id"], []), receipt: @receipts[id])
    end

    def steps(first, last)
      transitions = grouped(TRANSITIONS, first, last, "workflow_step_id") { |row| transition(row) }
      executions = grouped(EXECUTIONS, first, last, "step_id") { |row| execution(row) }
      grouped(STEPS, first, last, "task_id") do |row|
        id = row["workflow_step_id"]
        step(row, transitions.fetch(id, []), executions.fetch(id, []))
      end
    end

    def grouped(sql, first, last, key)
      groups = Hash.new { |hash, value| hash[value] = [] }
      @server.rows(sql, [first, last]).each { |row| groups[row.fetch(key)] << yield(row) }
      groups
    end

    def step(row, transitions, executions)
      Record::Step.new(id: row["workflow_step_id"].to_i, name: row["name"], state: row["state"],
                       attempts: row["attempts"].to_i, results: row["results"] && JSON.parse(row["results"]),
                       transitions: transitions, executions: executions)
    end

    def transition(row)
      Record::Transition.new(from: row["from_state"], to: row["to_state"], event: row["event"],
                             attempt: row["attempt"].to_i, outcome: row["outcome"])
    end

    def execution(row)
      Record::Execution.new(attempt: row["attempt"].to_i, pid: row["pid"].to_i, started_ns: row["started_ns"].to_i,
                            finished_ns: row["finished_ns"]&.to_i, outcome: row["outcome"])
    end
  end
end
