# frozen_string_literal: true

require "json"
require_relative "record"

module Chaos
  # Reads {Record}s from the engine's tables and the ledger.
  class Records
    # Tasks that are read at once.
    BATCH = 500
    TASKS = <<~SQL.freeze
      SELECT t.task_id, n.name, t.state, t.context->>'seed' AS seed, t.context->>'deadline' AS deadline,
             extract(epoch FROM t.requested_at) AS requested_at
      FROM tasker_tasks t JOIN tasker_named_tasks n USING (named_task_id)
      WHERE t.task_id > $1 ORDER BY t.task_id LIMIT #{BATCH}
    SQL
    STEPS = <<~SQL
      SELECT s.workflow_step_id, s.task_id, n.name, s.state, s.attempts, s.results
      FROM tasker_workflow_steps s JOIN tasker_named_steps n USING (named_step_id)
      WHERE s.task_id BETWEEN $1 AND $2 ORDER BY s.workflow_step_id
    SQL
    TRANSITIONS = <<~SQL
      SELECT workflow_step_id, workflow_step_transition_id AS id, from_state, to_state, event, attempt, outcome, detail,
             extract(epoch FROM created_at) AS at
      FROM tasker_workflow_step_transitions
      WHERE workflow_step_id >= $1::bigint << 20 AND workflow_step_id < ($2::bigint + 1) << 20
      ORDER BY workflow_step_id, workflow_step_transition_id
    SQL
    TASK_TRANSITIONS = <<~SQL
      SELECT task_id, task_transition_id AS id, from_state, to_state, event, detail, extract(epoch FROM created_at) AS at
      FROM tasker_task_transitions WHERE task_id BETWEEN $1 AND $2 ORDER BY task_id, task_transition_id
    SQL
    SIGNALS = <<~SQL
      SELECT task_id, signal_id, name, payload, idempotency_key
      FROM tasker_signals WHERE task_id BETWEEN $1 AND $2 ORDER BY signal_id
    SQL
    EXECUTIONS = <<~SQL
      SELECT step_id, attempt, pid, started_ns, finished_ns, outcome, product
      FROM chaos.ledger WHERE task_id BETWEEN $1 AND $2 ORDER BY started_ns
    SQL
    # The tasks that were submitted with a key.
    KEYS = "SELECT task_id, context->>'key' AS key FROM tasker_tasks WHERE context ? 'key' ORDER BY task_id"
    # Rows of the ledger whose step the engine does not have.
    FOREIGN = <<~SQL
      SELECT task_id, step_id, attempt FROM chaos.ledger l
      WHERE NOT EXISTS (SELECT FROM tasker_workflow_steps s WHERE s.workflow_step_id = l.step_id)
    SQL

    # @param server [Server]
    # @param receipts [Array<Receipt>]
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
        changes = grouped(TASK_TRANSITIONS, first, last, "task_id") { |row| transition(row) }
        signals = grouped(SIGNALS, first, last, "task_id") { |row| signal(row) }
        tasks.each { |task| block.call(record(task, *[steps, changes, signals].map { |all| all[task["task_id"]] })) }
      end
    end

    # @return [Array<Hash{String => String}>] task_id, step_id and attempt of executions of steps that are not there
    def foreign
      @server.rows(FOREIGN)
    end

    # @return [Hash{String => Array<Integer>}] ids of the tasks that have a key, by the key
    def keys
      rows = @server.rows(KEYS).group_by { |row| row["key"] }
      rows.transform_values { |tasks| tasks.map { |task| task["task_id"].to_i } }
    end

    private

    def record(task, steps, transitions, signals)
      id = task["task_id"].to_i
      Record.new(id: id, template: task["name"], state: task["state"], seed: task["seed"].to_i,
                 requested_at: task["requested_at"].to_f, deadline: task["deadline"]&.to_f, steps: steps,
                 transitions: transitions, signals: signals, receipt: @receipts[id])
    end

    def steps(first, last)
      transitions = grouped(TRANSITIONS, first, last, "workflow_step_id") { |row| transition(row) }
      executions = grouped(EXECUTIONS, first, last, "step_id") { |row| execution(row) }
      grouped(STEPS, first, last, "task_id") do |row|
        id = row["workflow_step_id"]
        step(row, transitions[id], executions[id])
      end
    end

    def grouped(sql, first, last, key)
      groups = Hash.new { |hash, value| hash[value] = [] }
      @server.rows(sql, [first, last]).each { |row| groups[row.fetch(key)] << yield(row) }
      groups
    end

    def step(row, transitions, executions)
      Record::Step.new(id: row["workflow_step_id"].to_i, name: row["name"], state: row["state"],
                       attempts: row["attempts"].to_i, results: parsed(row["results"]),
                       transitions: transitions, executions: executions)
    end

    def transition(row)
      Record::Transition.new(id: row["id"].to_i, from: row["from_state"], to: row["to_state"], event: row["event"],
                             attempt: row["attempt"].to_i, outcome: row["outcome"], detail: parsed(row["detail"]),
                             at: row["at"].to_f)
    end

    def execution(row)
      Record::Execution.new(attempt: row["attempt"].to_i, pid: row["pid"].to_i, started_ns: row["started_ns"].to_i,
                            finished_ns: row["finished_ns"]&.to_i, outcome: row["outcome"],
                            product: parsed(row["product"]))
    end

    def signal(row)
      Record::Signal.new(id: row["signal_id"].to_i, name: row["name"], payload: parsed(row["payload"]),
                         key: row["idempotency_key"])
    end

    def parsed(text)
      text && JSON.parse(text)
    end
  end
end
