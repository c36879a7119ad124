-- Caller: every decision; the one place that writes a state. Indexes: primary keys. Each row is
-- written only if it is still as it was read, and each change of state with its transition; the
-- caller compares the counts and rolls back when one differs. BETWEEN stands for equality: see
-- docs/decisions/0004-plans.md.
WITH changed_step AS (
  UPDATE tasker_workflow_steps s
  SET state = c.to_state,
      open_parents = c.open_parents,
      attempts = c.attempts,
      failures = c.failures,
      crashes = c.crashes,
      worker_id = c.worker,
      claimed_at = CASE WHEN c.event = 'claimed' THEN statement_timestamp() ELSE s.claimed_at END,
      results = c.results::json
  FROM unnest(
    $1::bigint[], $2::tasker_step_state[], $3::int[], $4::bigint[],
    $5::tasker_step_state[], $6::int[], $7::int[], $8::int[], $9::int[], $10::bigint[],
    $11::tasker_step_event[], $12::timestamptz[], $13::text[], $14::text[], $15::text[],
    $16::tasker_attempt_outcome[], $17::bigint[], $18::text[]
  ) AS c (id, from_state, from_attempts, from_worker,
          to_state, open_parents, attempts, failures, crashes, worker,
          event, available_at, results, detail, queue,
          outcome, execution_us, error)
  WHERE s.workflow_step_id BETWEEN c.id AND c.id
    AND s.state = c.from_state
    AND s.attempts = c.from_attempts
    AND s.worker_id IS NOT DISTINCT FROM c.from_worker
  RETURNING c.id, c.from_state, c.from_attempts, c.from_worker, c.to_state, c.attempts, c.worker, c.event,
            c.available_at, c.detail, c.queue, c.outcome, c.execution_us, c.error, s.claimed_at
), step_transition AS (
  INSERT INTO tasker_workflow_step_transitions
    (workflow_step_id, from_state, to_state, event, attempt, worker_id, created_at,
     claimed_at, execution_us, outcome, detail, error)
  SELECT c.id, c.from_state, c.to_state, c.event, greatest(c.from_attempts, c.attempts),
         coalesce(c.worker, c.from_worker), greatest(statement_timestamp(), c.claimed_at),
         CASE WHEN c.outcome IS NOT NULL THEN c.claimed_at END, c.execution_us, c.outcome,
         c.detail::jsonb, c.error::jsonb
  FROM changed_step c
  WHERE c.event IS NOT NULL
), claim_batch AS (
  INSERT INTO tasker_claim_batches (worker_id, workflow_step_ids)
  SELECT max(c.worker), array_agg(c.id)
  FROM changed_step c
  WHERE c.event = 'claimed'
  HAVING count(*) > 0
  RETURNING claim_batch_id
), ended_batch AS (
  DELETE FROM tasker_claim_batches b
  WHERE b.claim_batch_id = ANY ($28::bigint[])
), left_ready AS (
  DELETE FROM tasker_ready_steps r
  USING changed_step c
  WHERE r.workflow_step_id BETWEEN c.id AND c.id
    AND c.from_state IN ('enqueued', 'waiting_for_retry')
    AND c.to_state NOT IN ('enqueued', 'waiting_for_retry')
  RETURNING r.workflow_step_id
), entered_ready AS (
  INSERT INTO tasker_ready_steps (workflow_step_id, queue, available_at)
  SELECT c.id, c.queue, c.available_at
  FROM changed_step c
  WHERE c.to_state IN ('enqueued', 'waiting_for_retry')
), changed_task AS (
  UPDATE tasker_tasks t
  SET state = c.to_state,
      runnable_steps = c.runnable,
      waiting_steps = c.waiting,
      blocked_steps = c.blocked,
      failed_steps = c.failed,
      started_at = CASE WHEN c.event = 'started' THEN statement_timestamp() ELSE t.started_at END,
      finished_at = CASE WHEN c.event IN ('completed', 'failed', 'cancelled') THEN statement_timestamp() END
  FROM unnest(
    $19::bigint[], $20::tasker_task_state[], $21::tasker_task_state[],
    $22::int[], $23::int[], $24::int[], $25::int[], $26::tasker_task_event[], $27::text[]
  ) AS c (id, from_state, to_state, runnable, waiting, blocked, failed, event, detail)
  WHERE t.task_id BETWEEN c.id AND c.id
    AND t.state = c.from_state
  RETURNING c.id, c.from_state, c.to_state, c.event, c.detail
), task_transition AS (
  INSERT INTO tasker_task_transitions (task_id, from_state, to_state, event, detail, created_at)
  SELECT c.id, c.from_state, c.to_state, c.event, c.detail::jsonb, statement_timestamp()
  FROM changed_task c
  WHERE c.event IS NOT NULL
)
SELECT (SELECT count(*) FROM changed_step) AS "steps!",
       (SELECT count(*) FROM changed_task) AS "tasks!",
       (SELECT count(*) FROM left_ready) AS "left_ready!",
       (SELECT claim_batch_id FROM claim_batch) AS claim_batch_id
