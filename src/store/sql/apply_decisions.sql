-- Caller: every decision; the one place that writes a state. Indexes: primary keys. Each row is
-- written only if it is still as it was read, and each change of state with its transition; the
-- caller compares the counts and rolls back when one differs. The inner selects see the rows as they
-- were before the statement.
WITH step_change AS (
  SELECT *
  FROM unnest(
    $1::bigint[], $2::tasker_step_state[], $3::int[], $4::bigint[],
    $5::tasker_step_state[], $6::int[], $7::int[], $8::int[], $9::int[], $10::bigint[],
    $11::tasker_step_event[], $12::timestamptz[], $13::text[], $14::text[], $15::text[]
  ) AS c (id, from_state, from_attempts, from_worker,
          to_state, open_parents, attempts, failures, crashes, worker,
          event, available_at, results, detail, queue)
), changed_step AS (
  UPDATE tasker_workflow_steps s
  SET state = c.to_state,
      open_parents = c.open_parents,
      attempts = c.attempts,
      failures = c.failures,
      crashes = c.crashes,
      worker_id = c.worker,
      claimed_at = CASE WHEN c.worker IS NULL THEN NULL ELSE statement_timestamp() END,
      results = c.results::jsonb
  FROM step_change c
  WHERE s.workflow_step_id = c.id
    AND s.state = c.from_state
    AND s.attempts = c.from_attempts
    AND s.worker_id IS NOT DISTINCT FROM c.from_worker
  RETURNING s.workflow_step_id
), step_transition AS (
  INSERT INTO tasker_workflow_step_transitions
    (workflow_step_id, from_state, to_state, event, attempt, worker_id, detail, created_at)
  SELECT c.id, c.from_state, c.to_state, c.event, greatest(c.from_attempts, c.attempts),
         coalesce(c.worker, c.from_worker), c.detail::jsonb, statement_timestamp()
  FROM step_change c
  WHERE c.event IS NOT NULL
), attempt AS (
  INSERT INTO tasker_attempts
    (workflow_step_id, attempt, worker_id, outcome, claimed_at, finished_at, execution_us, error)
  SELECT a.id, a.attempt, a.worker, a.outcome, s.claimed_at,
         greatest(statement_timestamp(), s.claimed_at), a.execution_us, a.error::jsonb
  FROM unnest($16::bigint[], $17::int[], $18::bigint[], $19::tasker_attempt_outcome[],
              $20::bigint[], $21::text[]) AS a (id, attempt, worker, outcome, execution_us, error)
  JOIN tasker_workflow_steps s ON s.workflow_step_id = a.id
), left_ready AS (
  DELETE FROM tasker_ready_steps r
  USING step_change c
  WHERE r.workflow_step_id = c.id
    AND c.from_state IN ('enqueued', 'waiting_for_retry')
    AND c.to_state NOT IN ('enqueued', 'waiting_for_retry')
  RETURNING r.workflow_step_id
), entered_ready AS (
  INSERT INTO tasker_ready_steps (workflow_step_id, queue, available_at)
  SELECT c.id, c.queue, c.available_at
  FROM step_change c
  WHERE c.to_state IN ('enqueued', 'waiting_for_retry')
), task_change AS (
  SELECT *
  FROM unnest(
    $22::bigint[], $23::tasker_task_state[], $24::tasker_task_state[],
    $25::int[], $26::int[], $27::int[], $28::int[], $29::tasker_task_event[], $30::text[]
  ) AS c (id, from_state, to_state, runnable, waiting, blocked, failed, event, detail)
), changed_task AS (
  UPDATE tasker_tasks t
  SET state = c.to_state,
      runnable_steps = c.runnable,
      waiting_steps = c.waiting,
      blocked_steps = c.blocked,
      failed_steps = c.failed,
      started_at = CASE WHEN c.event = 'started' THEN statement_timestamp() ELSE t.started_at END,
      finished_at = CASE WHEN c.event IN ('completed', 'failed', 'cancelled') THEN statement_timestamp() END
  FROM task_change c
  WHERE t.task_id = c.id AND t.state = c.from_state
  RETURNING t.task_id
), task_transition AS (
  INSERT INTO tasker_task_transitions (task_id, from_state, to_state, event, detail, created_at)
  SELECT c.id, c.from_state, c.to_state, c.event, c.detail::jsonb, statement_timestamp()
  FROM task_change c
  WHERE c.event IS NOT NULL
)
SELECT (SELECT count(*) FROM changed_step) AS "steps!",
       (SELECT count(*) FROM changed_task) AS "tasks!",
       (SELECT count(*) FROM left_ready) AS "left_ready!"
