-- Caller: decisions that end steps, and who ends one that is late, under the locks of the tasks. Index: primary key.
DELETE FROM tasker_step_deadlines WHERE workflow_step_id = ANY ($1::bigint[])
