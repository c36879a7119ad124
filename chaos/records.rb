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
             t.context->>'correlation' AS correlation, t.tags, t.priority,
             coalesce(o.priority::text, t.context->>'priority') AS wanted_priority,
             extract(epoch FROM t.requested_at) AS requested_at, s.task_id AS parent_task_id, s.state AS parent_state,
             (SELECT count(*) FROM tasker_workflow_step_transitions r
              WHERE r.workflow_step_id = t.parent_step_id AND r.event = 'retried') AS parent_retries,
             (SELECT count(*) FROM tasker_added_steps a
              WHERE a.workflow_step_id >> 20 = t.task_id AND a.retired) AS retired,
             c.original_task_id, f.forked_from, f.from_steps, f.actor AS fork_actor
      FROM tasker_tasks t JOIN tasker_named_tasks n USING (named_task_id)
      LEFT JOIN tasker_workflow_steps s ON s.workflow_step_id = t.parent_step_id
      LEFT JOIN tasker_compensations c ON c.task_id = t.task_id
      LEFT JOIN tasker_task_forks f ON f.task_id = t.task_id
      LEFT JOIN tasker_tasks o ON o.task_id = coalesce(s.task_id, c.original_task_id, f.forked_from)
      WHERE t.task_id > $1 ORDER BY t.task_id LIMIT #{BATCH}
    SQL
    STEPS = <<~SQL
      SELECT s.workflow_step_id, s.task_id, coalesce(a.name, n.name) AS name, s.state, s.attempts, s.results
      FROM tasker_workflow_steps s JOIN tasker_named_steps n USING (named_step_id)
      LEFT JOIN tasker_added_steps a USING (workflow_step_id)
      WHERE s.task_id BETWEEN $1 AND $2 AND a.retired IS NOT TRUE ORDER BY s.workflow_step_id
    SQL
    TRANSITIONS = <<~SQL
      SELECT workflow_step_id, workflow_step_transition_id AS id, from_state, to_state, event, attempt, outcome, detail,
             error->>'class' AS error, extract(epoch FROM created_at) AS at
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
      FROM tasker_signals
      WHERE task_id BETWEEN $1 AND $2 AND NOT starts_with(name, 'tasker_core.') ORDER BY signal_id
    SQL
    CHILDREN = <<~SQL
      SELECT c.parent_step_id >> 20 AS task_id, c.task_id AS child_id, p.name AS step, t.state, c.generation,
             (SELECT json_object_agg(n.name, s.results) FROM tasker_workflow_steps s
              JOIN tasker_named_steps n USING (named_step_id)
              WHERE s.task_id = c.task_id AND NOT EXISTS (
                SELECT FROM tasker_workflow_step_edges e WHERE e.from_step_id = s.workflow_step_id)) AS results
      FROM tasker_child_tasks c JOIN tasker_tasks t USING (task_id)
      JOIN tasker_workflow_steps o ON o.workflow_step_id = c.parent_step_id
      JOIN tasker_named_steps p ON p.named_step_id = o.named_step_id
      WHERE c.parent_step_id >> 20 BETWEEN $1 AND $2 ORDER BY c.generation
    SQL
    UNDONE = <<~SQL
      SELECT original_task_id, task_id FROM tasker_compensations WHERE original_task_id BETWEEN $1 AND $2
    SQL
    # Steps of the tasks that tasks undo.
    ORIGINALS = <<~SQL
      SELECT c.task_id, n.name, s.state
      FROM tasker_compensations c JOIN tasker_workflow_steps s ON s.task_id = c.original_task_id
      JOIN tasker_named_steps n USING (named_step_id) WHERE c.task_id BETWEEN $1 AND $2
    SQL
    # Steps of the tasks of which tasks are forks.
    FORKED = <<~SQL
      SELECT f.task_id, n.name, s.state, s.results
      FROM tasker_task_forks f JOIN tasker_workflow_steps s ON s.task_id = f.forked_from
      JOIN tasker_named_steps n USING (named_step_id) WHERE f.task_id BETWEEN $1 AND $2
    SQL
    KEPT = <<~SQL
      SELECT workflow_step_id, content FROM tasker_artifacts
      WHERE workflow_step_id >= $1::bigint << 20 AND workflow_step_id < ($2::bigint + 1) << 20
        AND starts_with(name, 'tasker.results.')
      ORDER BY workflow_step_id, substr(name, 16)::int
    SQL
    ATTACHED = <<~SQL
      SELECT workflow_step_id, attempt, name, content, uri FROM tasker_artifacts
      WHERE workflow_step_id >= $1::bigint << 20 AND workflow_step_id < ($2::bigint + 1) << 20
        AND NOT starts_with(name, 'tasker.')
      ORDER BY workflow_step_id, attempt, name DESC
    SQL
    EFFECTS = <<~SQL
      SELECT step_id, attempt FROM chaos.effects
      WHERE step_id >= $1::bigint << 20 AND step_id < ($2::bigint + 1) << 20 ORDER BY step_id, attempt
    SQL
    BUDGETS = <<~SQL
      SELECT task_id, max_attempts, max_cost, attempts, spent, reserved, exhausted
      FROM tasker_task_budgets WHERE task_id BETWEEN $1 AND $2
    SQL
    EXECUTIONS = <<~SQL
      SELECT step_id, attempt, pid, started_ns, finished_ns, outcome, product
      FROM chaos.ledger WHERE task_id BETWEEN $1 AND $2 ORDER BY started_ns
    SQL
    # The tasks that were submitted with a key.
    KEYS = "SELECT task_id, context->>'key' AS key FROM tasker_tasks WHERE context ? 'key' AND " \
           "task_id NOT IN (SELECT task_id FROM tasker_compensations) ORDER BY task_id"
    # Rows of the ledger whose step the engine does not have.
    FOREIGN = <<~SQL
      SELECT task_id, step_id, attempt FROM chaos.ledger l
      WHERE NOT EXISTS (SELECT FROM tasker_workflow_steps s WHERE s.workflow_step_id = l.step_id)
    SQL

    # @param server [Server]
    # @param asked [Asked]
    def initialize(server, asked)
      @server = server
      @receipts = asked.receipts.to_h { |receipt| [receipt.task_id, receipt] }
      @bulk = asked.bulk
    end

    # @yieldparam record [Record] of each task in the database
    # @return [void]
    def each(&block)
      last = 0
      until (tasks = @server.rows(TASKS, [last])).empty?
        first, last = tasks.values_at(0, -1).map { |task| task["task_id"].to_i }
        known = known(first, last)
        tasks.each { |task| block.call(record(task, known.transform_values { |all| all[task["task_id"]] })) }
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

    # What there is of tasks, by task.
    def known(first, last)
      { steps: steps(first, last),
        transitions: grouped(TASK_TRANSITIONS, first, last, "task_id") { |row| transition(row) },
        signals: grouped(SIGNALS, first, last, "task_id") { |row| signal(row) },
        children: grouped(CHILDREN, first, last, "task_id") { |row| child(row) },
        undone_by: grouped(UNDONE, first, last, "original_task_id") { |row| row["task_id"].to_i },
        original: grouped(ORIGINALS, first, last, "task_id") { |row| row.values_at("name", "state") },
        fork: grouped(FORKED, first, last, "task_id") { |row| [row["name"], [row["state"], parsed(row["results"])]] },
        budget: grouped(BUDGETS, first, last, "task_id") { |row| budget(row) } }
    end

    def record(task, known)
      id = task["task_id"].to_i
      undoes = !task["original_task_id"].nil?
      Record.new(**known, **own(task), id: id, deadline: (task["deadline"]&.to_f unless undoes),
                                       receipt: @receipts[id], parent: parent(task), budget: known[:budget].first,
                                       fork: forked(task, known[:fork].to_h),
                                       original: (known[:original].to_h if undoes), steps: named(known[:steps], undoes))
    end

    def own(task)
      { template: task["name"], state: task["state"], seed: task["seed"].to_i, requested_at: task["requested_at"].to_f,
        retired: task["retired"].to_i, priority: task["priority"].to_i,
        wanted_priority: task["wanted_priority"].to_i, bulk: bulk(task) }
    end

    def bulk(task)
      about = { template: task["name"], correlation: task["correlation"], tags: parsed(task["tags"]) || [] }
      @bulk.select { |request| request.means?(**about) }
    end

    def named(steps, undoes)
      undoes ? steps.each { |step| step.name = "#{Undo::PREFIX}#{step.name}" } : steps
    end

    def parent(task)
      id = task["parent_task_id"]&.to_i or return
      Record::Parent.new(id, task["parent_state"], task["parent_retries"].to_i)
    end

    def forked(task, steps)
      id = task["forked_from"]&.to_i or return
      request = @receipts[id]&.requests&.find { |one| one.actor == task["fork_actor"] }
      Record::Fork.new(task_id: id, from: JSON.parse(task["from_steps"]), actor: task["fork_actor"],
                       request: request, steps: steps)
    end

    def child(row)
      Record::Child.new(task_id: row["child_id"].to_i, step: row["step"], state: row["state"],
                        generation: row["generation"].to_i, results: parsed(row["results"]))
    end

    def budget(row)
      numbers = row.slice("max_attempts", "max_cost", "attempts", "spent", "reserved")
      Record::Budget.new(exhausted: row["exhausted"], **numbers.transform_values { |number| number&.to_i }
                                                               .transform_keys(&:to_sym))
    end

    def steps(first, last)
      transitions = grouped(TRANSITIONS, first, last, "workflow_step_id") { |row| transition(row) }
      executions = grouped(EXECUTIONS, first, last, "step_id") { |row| execution(row) }
      kept = grouped(KEPT, first, last, "workflow_step_id") { |row| parsed(row["content"]) }
      attached = grouped(ATTACHED, first, last, "workflow_step_id") { |row| artifact(row) }
      effects = grouped(EFFECTS, first, last, "step_id") { |row| row["attempt"].to_i }
      grouped(STEPS, first, last, "task_id") do |row|
        id = row["workflow_step_id"]
        step(row, transitions[id], executions[id], kept: kept[id], artifacts: by_attempt(attached[id]),
                                                   effects: effects[id])
      end
    end

    def grouped(sql, first, last, key)
      groups = Hash.new { |hash, value| hash[value] = [] }
      @server.rows(sql, [first, last]).each { |row| groups[row.fetch(key)] << yield(row) }
      groups
    end

    def artifact(row)
      [row["attempt"].to_i, row["name"], row["uri"] || parsed(row["content"])]
    end

    def by_attempt(attached)
      attached.group_by(&:first).transform_values { |all| all.to_h { |_, name, content| [name, content] } }
    end

    def step(row, transitions, executions, **rest)
      Record::Step.new(id: row["workflow_step_id"].to_i, name: row["name"], state: row["state"],
                       attempts: row["attempts"].to_i, results: parsed(row["results"]),
                       transitions: transitions, executions: executions, **rest)
    end

    def transition(row)
      Record::Transition.new(id: row["id"].to_i, from: row["from_state"], to: row["to_state"], event: row["event"],
                             attempt: row["attempt"].to_i, outcome: row["outcome"], error: row["error"],
                             detail: parsed(row["detail"]), at: row["at"].to_f)
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
