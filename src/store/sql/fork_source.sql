-- Caller: fork. Index: primary key. Locks: the task, so that its steps are read as of one time.
SELECT named_task_id, priority, context::text AS "context!", tags::text AS tags
FROM tasker_tasks
WHERE task_id = $1
FOR NO KEY UPDATE
