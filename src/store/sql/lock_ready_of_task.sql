-- Caller: cancel, pause, retry, under the lock of the task: keeps its claimable steps from being claimed. Index:
-- primary key. Locks: the task's rows of the hot table; whoever holds one does not wait for the task.
SELECT workflow_step_id
FROM tasker_ready_steps
WHERE workflow_step_id >= ($1::bigint << 20) AND workflow_step_id < (($1::bigint + 1) << 20)
ORDER BY workflow_step_id
FOR UPDATE
