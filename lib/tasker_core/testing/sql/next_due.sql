-- Seconds until something goes on by itself in the task, or in tasks that its steps run: 0 where a step is executed or the end of a
-- task is still to be followed up, else until the first step can be claimed.
WITH RECURSIVE family AS (
  SELECT $1::bigint AS task_id
  UNION
  SELECT c.task_id FROM tasker_child_tasks c JOIN family f ON c.parent_step_id >> 20 = f.task_id
), due AS (
  SELECT extract(epoch FROM r.available_at - statement_timestamp()) AS seconds
  FROM family f
  JOIN tasker_ready_steps r
    ON r.workflow_step_id >= f.task_id << 20 AND r.workflow_step_id < (f.task_id + 1) << 20
  WHERE r.queue IS NOT NULL AND r.available_at < '9999-01-01'
  UNION ALL
  SELECT 0
  FROM family f
  JOIN tasker_workflow_steps s
    ON s.workflow_step_id >= f.task_id << 20 AND s.workflow_step_id < (f.task_id + 1) << 20
  WHERE s.state = 'in_progress'
  UNION ALL
  SELECT 0 FROM family JOIN tasker_follow_ups USING (task_id)
)
SELECT min(seconds) FROM due
