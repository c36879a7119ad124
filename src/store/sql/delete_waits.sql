-- Caller: rerun, under the lock of the task: the handlers of these steps begin as if they had never waited. Index: primary key.
DELETE FROM tasker_step_waits WHERE workflow_step_id = ANY ($1::bigint[])
