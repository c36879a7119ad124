-- Caller: retry, under the lock of the task: what the steps waited for last is over, so that their handlers wait anew.
-- Index: primary key.
UPDATE tasker_step_waits
SET signal = NULL, deadline = NULL
WHERE workflow_step_id = ANY ($1::bigint[])
