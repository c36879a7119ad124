-- Caller: ends of items that are given up, and claims that a budget may refuse, under the locks of their tasks. Indexes: primary keys.
-- The items that have not begun, among these and the next $2 of each one's map step, with how many others have failed: 0 where an
-- operator has had one tried again, or a step was refused because no attempt is left. Without $3 only those where that is not 0.
-- Locks: their rows of the hot table that nobody holds; who holds one claims it. BETWEEN and OFFSET 0: see docs/decisions/0004-plans.md.
WITH part AS MATERIALIZED (
  SELECT greatest(wanted.id, c.first_item_id) AS first_id, least(wanted.id + $2, c.first_item_id + c.parents - 1) AS last_id,
         a.step_index, failed.items AS failed_items
  FROM unnest($1::bigint[]) AS wanted (id)
  JOIN tasker_added_steps a ON a.workflow_step_id BETWEEN wanted.id AND wanted.id AND a.item_index IS NOT NULL
  CROSS JOIN LATERAL (
    SELECT first_item_id, parents FROM tasker_parent_counts WHERE workflow_step_id = a.added_by_step_id OFFSET 0
  ) AS c
  CROSS JOIN LATERAL (
    SELECT state, failed_parents FROM tasker_workflow_steps WHERE workflow_step_id = a.added_by_step_id OFFSET 0
  ) AS m
  CROSS JOIN LATERAL (
    SELECT CASE WHEN EXISTS (
      SELECT FROM tasker_task_budgets b WHERE b.task_id = wanted.id >> 20 AND b.exhausted = 'attempts')
    THEN 0 ELSE m.failed_parents END AS items
  ) AS failed
  WHERE m.state = 'pending' AND ($3 OR failed.items > 0)
), held AS MATERIALIZED (
  SELECT ready.workflow_step_id, part.step_index, part.failed_items
  FROM part
  CROSS JOIN LATERAL (
    SELECT r.workflow_step_id
    FROM tasker_ready_steps r
    WHERE r.workflow_step_id BETWEEN part.first_id AND part.last_id
    FOR UPDATE SKIP LOCKED
  ) AS ready
), unbegun AS (
  SELECT item.*, part.step_index, part.failed_items
  FROM part
  CROSS JOIN LATERAL (
    SELECT s.* FROM tasker_workflow_steps s
    WHERE s.workflow_step_id BETWEEN part.first_id AND part.last_id AND s.state = 'pending'
    OFFSET 0
  ) AS item
  UNION ALL
  SELECT item.*, held.step_index, CASE WHEN retried.is_it THEN 0 ELSE held.failed_items END
  FROM held
  CROSS JOIN LATERAL (
    SELECT s.* FROM tasker_workflow_steps s
    WHERE s.workflow_step_id = held.workflow_step_id AND s.state = 'enqueued' AND s.attempts = 0
    OFFSET 0
  ) AS item
  CROSS JOIN LATERAL (
    SELECT EXISTS (
      SELECT FROM tasker_workflow_step_transitions t WHERE t.workflow_step_id = held.workflow_step_id AND t.event = 'retried') AS is_it
  ) AS retried
  WHERE $3 OR NOT retried.is_it
)
SELECT workflow_step_id AS "workflow_step_id!", state AS "state!: StepState", open_parents AS "open_parents!",
       failed_parents AS "failed_parents!", skipped_parents AS "skipped_parents!", attempts AS "attempts!",
       failures AS "failures!", crashes AS "crashes!", worker_id, statement_timestamp() AS "now!",
       step_index AS "step_index!", failed_items AS "failed_items!"
FROM unbegun
