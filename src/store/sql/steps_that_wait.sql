-- Caller: signals, under the lock of the task. Indexes: tasker_step_waits_signal, primary key. BETWEEN stands for equality:
-- docs/decisions/0004-plans.md.
SELECT w.workflow_step_id AS "step: StepId"
FROM tasker_step_waits w
JOIN tasker_workflow_steps s
  ON s.workflow_step_id BETWEEN w.workflow_step_id AND w.workflow_step_id AND s.state = 'waiting'
WHERE w.workflow_step_id >> 20 = $1::bigint AND w.signal = $2
ORDER BY w.workflow_step_id
