-- Caller: claims. Index: tasker_ready_steps_order, then primary keys. Locks: the rows of the hot
-- table that nobody holds, so that workers never wait for one another. $3, $4: the place in the order
-- after which is looked, so that rows of old claims that a vacuum could not remove yet are passed over.
-- $5: tasks whose steps are left where they are.
-- BETWEEN stands for equality: see docs/decisions/0004-plans.md.
SELECT picked.workflow_step_id AS "workflow_step_id!", s.state AS "state!: StepState",
       s.open_parents AS "open_parents!", s.failed_parents AS "failed_parents!",
       s.skipped_parents AS "skipped_parents!", s.attempts AS "attempts!", s.failures AS "failures!",
       s.crashes AS "crashes!", s.worker_id, statement_timestamp() AS "now!",
       t.state AS "task_state!: TaskState", t.has_budget AS "has_budget!", t.has_deadline AS "has_deadline!",
       picked.available_at AS "available_at!"
FROM unnest($1::text[]) AS served (queue)
CROSS JOIN LATERAL (
  SELECT r.workflow_step_id, r.available_at
  FROM tasker_ready_steps r
  WHERE r.queue = served.queue AND r.available_at <= statement_timestamp()
    AND (r.available_at, r.workflow_step_id + 0) > ($3, $4)
    AND (r.workflow_step_id >> 20) <> ALL ($5::bigint[])
  ORDER BY r.available_at, r.workflow_step_id + 0
  LIMIT $2
  FOR UPDATE SKIP LOCKED
) AS picked
JOIN tasker_workflow_steps s ON s.workflow_step_id BETWEEN picked.workflow_step_id AND picked.workflow_step_id
JOIN tasker_tasks t ON t.task_id BETWEEN s.task_id AND s.task_id
ORDER BY picked.available_at, picked.workflow_step_id
LIMIT $2
