-- Caller: the pruner, when nothing else is left of the tasks. Index: primary key.
DELETE FROM tasker_pruned_tasks WHERE task_id = ANY ($1::bigint[])
