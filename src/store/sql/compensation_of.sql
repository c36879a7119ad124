-- Caller: whoever wants to undo a task, or to have it go on, under its lock. Index: primary key.
SELECT task_id AS "task: TaskId"
FROM tasker_compensations
WHERE original_task_id = $1
