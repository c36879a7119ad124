-- Caller: rescue. Index: tasker_workflow_steps_claimed.
SELECT workflow_step_id, attempts
FROM tasker_workflow_steps
WHERE worker_id = $1
ORDER BY workflow_step_id
LIMIT $2
