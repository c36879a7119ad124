-- Caller: the pruner. Index: primary key.
SELECT task_id AS "task_id: TaskId"
FROM tasker_pruned_tasks
WHERE task_id > $1
ORDER BY task_id
LIMIT $2
