-- Caller: resume, under the lock of the task: its steps are in their queues again. Indexes: primary keys.
WITH released AS (
  UPDATE tasker_ready_steps r
  SET queue = n.queue
  FROM tasker_workflow_steps s JOIN tasker_named_steps n USING (named_step_id)
  WHERE r.workflow_step_id >= ($1::bigint << 20) AND r.workflow_step_id < (($1::bigint + 1) << 20)
    AND s.workflow_step_id = r.workflow_step_id
  RETURNING r.queue
)
SELECT DISTINCT queue AS "queue!" FROM released
