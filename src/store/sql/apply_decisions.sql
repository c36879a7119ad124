-- Caller: every decision; the one place that writes a state. Indexes: primary keys. Each row is
-- written only if it is still as it was read, and each change of state with its transition; the
-- caller compares the counts and rolls back when one differs. BETWEEN stands for equality: see
-- docs/decisions/0004-plans.md. $1 to $9 and $35: the changes; their kind is a position in $10 to $19, which hold what
-- many changes have in common (before: state, attempts, holder; after: state, attempts, failures, crashes,
-- holder; event, outcome), and in $30 and $31 (after: parents in error, parents skipped). $32 to $34: whether any change
-- claims, leaves the hot table, enters it; where none does, they are not looked through for it. A task that begins to run
-- is numbered before its steps' transitions, what else becomes of it after them: so that it waits for them. The
-- transaction has written or locked rows before it takes numbers, which the feed relies on
-- (docs/decisions/0014-feed.md). Changes stand in an order in which each follows from those before it, and are numbered so.
WITH changed_step AS (
  UPDATE tasker_workflow_steps s
  SET state = ($13::tasker_step_state[])[c.kind],
      open_parents = c.open_parents,
      failed_parents = ($30::int[])[c.kind],
      skipped_parents = ($31::int[])[c.kind],
      attempts = ($14::int[])[c.kind],
      failures = ($15::int[])[c.kind],
      crashes = ($16::int[])[c.kind],
      worker_id = ($17::bigint[])[c.kind],
      claimed_at = CASE WHEN ($18::tasker_step_event[])[c.kind] = 'claimed' THEN statement_timestamp() ELSE s.claimed_at END,
      results = c.results::json
  FROM unnest(
    $1::bigint[], $2::int[], $3::int[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::timestamptz[], $9::text[],
    $35::smallint[]
  ) WITH ORDINALITY AS c (id, kind, open_parents, results, execution_us, detail, error, available_at, queue, priority, place)
  WHERE s.workflow_step_id BETWEEN c.id AND c.id
    AND s.state = ($10::tasker_step_state[])[c.kind]
    AND s.attempts = ($11::int[])[c.kind]
    AND s.worker_id IS NOT DISTINCT FROM ($12::bigint[])[c.kind]
  RETURNING c.place, c.id, c.kind, c.execution_us, c.detail, c.error, c.available_at, c.queue, c.priority, s.state AS to_state,
            s.claimed_at
), step_transition AS (
  INSERT INTO tasker_workflow_step_transitions
    (workflow_step_id, from_state, to_state, event, attempt, worker_id, created_at,
     claimed_at, execution_us, outcome, detail, error)
  SELECT c.id, ($10::tasker_step_state[])[c.kind], c.to_state, ($18::tasker_step_event[])[c.kind],
         greatest(($11::int[])[c.kind], ($14::int[])[c.kind]),
         coalesce(($17::bigint[])[c.kind], ($12::bigint[])[c.kind]),
         greatest(statement_timestamp(), c.claimed_at),
         CASE WHEN ($19::tasker_attempt_outcome[])[c.kind] IS NOT NULL THEN c.claimed_at END, c.execution_us,
         ($19::tasker_attempt_outcome[])[c.kind], c.detail::jsonb, c.error::jsonb
  FROM changed_step c
  WHERE ($18::tasker_step_event[])[c.kind] IS NOT NULL
  ORDER BY c.place
  RETURNING 1
), claim_batch AS (
  INSERT INTO tasker_claim_batches (worker_id, workflow_step_ids)
  SELECT max(($17::bigint[])[c.kind]), array_agg(c.id)
  FROM changed_step c
  WHERE $32::boolean AND ($18::tasker_step_event[])[c.kind] = 'claimed'
  HAVING count(*) > 0
  RETURNING claim_batch_id
), ended_batch AS (
  DELETE FROM tasker_claim_batches b
  WHERE b.claim_batch_id = ANY ($29::bigint[])
), left_ready AS (
  DELETE FROM tasker_ready_steps r
  USING changed_step c
  WHERE $33::boolean AND r.workflow_step_id BETWEEN c.id AND c.id
    AND ($10::tasker_step_state[])[c.kind] IN ('enqueued', 'waiting_for_retry', 'waiting')
    AND c.to_state NOT IN ('enqueued', 'waiting_for_retry', 'waiting')
  RETURNING r.workflow_step_id
), entered_ready AS (
  INSERT INTO tasker_ready_steps (workflow_step_id, queue, available_at, priority)
  SELECT c.id, c.queue, c.available_at, coalesce(c.priority, 0)
  FROM changed_step c
  WHERE $34::boolean AND c.to_state IN ('enqueued', 'waiting_for_retry', 'waiting')
), changed_task AS (
  UPDATE tasker_tasks t
  SET state = c.to_state,
      runnable_steps = c.runnable,
      waiting_steps = c.waiting,
      blocked_steps = c.blocked,
      open_failures = c.failures,
      started_at = CASE WHEN c.to_state NOT IN ('pending', 'paused', 'cancelled') THEN coalesce(t.started_at, statement_timestamp()) ELSE t.started_at END,
      finished_at = CASE WHEN c.event IN ('completed', 'failed', 'cancelled', 'deadline_passed', 'budget_exhausted') THEN statement_timestamp()
                         WHEN c.event IS NULL OR c.to_state = c.from_state THEN t.finished_at END
  FROM unnest(
    $20::bigint[], $21::tasker_task_state[], $22::tasker_task_state[],
    $23::int[], $24::int[], $25::int[], $26::int[], $27::tasker_task_event[], $28::text[]
  ) AS c (id, from_state, to_state, runnable, waiting, blocked, failures, event, detail)
  WHERE t.task_id BETWEEN c.id AND c.id
    AND t.state = c.from_state
  RETURNING c.id, c.from_state, c.to_state, c.event, c.detail,
            CASE WHEN c.event IN ('started', 'resumed') THEN nextval('tasker_transition_ids') END AS number
), task_transition AS (
  INSERT INTO tasker_task_transitions (task_id, task_transition_id, from_state, to_state, event, detail, created_at)
  SELECT c.id, coalesce(c.number, nextval('tasker_transition_ids')), c.from_state, c.to_state, c.event, c.detail::jsonb,
         statement_timestamp()
  FROM changed_task c
  WHERE c.event IS NOT NULL AND (SELECT count(*) FROM step_transition) >= 0
)
SELECT (SELECT count(*) FROM changed_step) AS "steps!",
       (SELECT count(*) FROM changed_task) AS "tasks!",
       (SELECT count(*) FROM left_ready) AS "left_ready!",
       (SELECT claim_batch_id FROM claim_batch) AS claim_batch_id
