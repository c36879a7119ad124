-- Caller: operators, under the lock of the task: keeps these steps from being claimed. Index: primary key. Locks: their
-- rows of the hot table; whoever holds one does not wait for the task.
SELECT workflow_step_id
FROM tasker_ready_steps
WHERE workflow_step_id = ANY ($1::bigint[])
ORDER BY workflow_step_id
FOR UPDATE
