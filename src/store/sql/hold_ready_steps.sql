-- Caller: pause, under the lock of the task: its steps are in no queue. Index: primary key. Locks: the task's rows of the
-- hot table; whoever holds one does not wait for the task.
UPDATE tasker_ready_steps
SET queue = NULL
WHERE workflow_step_id >= ($1::bigint << 20) AND workflow_step_id < (($1::bigint + 1) << 20)
