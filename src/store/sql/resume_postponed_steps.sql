-- Caller: decisions after which less of a budget is reserved, under the locks of the tasks: so many of each task's steps
-- that were postponed can be claimed now. Indexes: tasker_ready_steps_postponed, primary key. Locks: the rows of the hot
-- table that nobody holds; who holds one looks at the step anyhow.
-- BETWEEN stands for equality: see docs/decisions/0004-plans.md.
WITH resumed AS (
  UPDATE tasker_ready_steps r
  SET available_at = statement_timestamp(), postponed = false
  FROM unnest($1::bigint[], $2::int[]) AS freed (task_id, steps)
  CROSS JOIN LATERAL (
    SELECT p.workflow_step_id
    FROM tasker_ready_steps p
    WHERE p.postponed AND p.workflow_step_id >> 20 = freed.task_id AND p.available_at > statement_timestamp()
    ORDER BY p.available_at
    LIMIT freed.steps
    FOR UPDATE SKIP LOCKED
  ) AS longest
  WHERE r.workflow_step_id BETWEEN longest.workflow_step_id AND longest.workflow_step_id
  RETURNING r.queue
)
SELECT DISTINCT queue AS "queue!" FROM resumed WHERE queue IS NOT NULL
