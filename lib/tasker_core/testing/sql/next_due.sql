-- Seconds until a step of the task, or of a task that its steps run, can be claimed.
WITH RECURSIVE family AS (
  SELECT $1::bigint AS task_id
  UNION
  SELECT c.task_id FROM tasker_child_tasks c JOIN family f ON c.parent_step_id >> 20 = f.task_id
)
SELECT extract(epoch FROM min(r.available_at) - statement_timestamp())
FROM family f
JOIN tasker_ready_steps r
  ON r.workflow_step_id >= f.task_id << 20 AND r.workflow_step_id < (f.task_id + 1) << 20
WHERE r.queue IS NOT NULL AND r.available_at < '9999-01-01'
