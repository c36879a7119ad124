-- Caller: signals, under the lock of the task. Indexes: primary keys (the waits of a task lie side by side).
SELECT w.workflow_step_id AS "step: StepId"
FROM tasker_step_waits w
JOIN tasker_workflow_steps s USING (workflow_step_id)
WHERE w.workflow_step_id >= ($1::bigint << 20) AND w.workflow_step_id < (($1::bigint + 1) << 20)
  AND w.signal = $2 AND s.state = 'waiting'
ORDER BY w.workflow_step_id
