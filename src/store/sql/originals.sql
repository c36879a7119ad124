-- Caller: the delivery of steps that undo others, and their handlers. Index: the unique one of task_id, primary keys.
SELECT c.task_id AS "task: TaskId", t.task_id AS "original: TaskId", t.named_task_id
FROM tasker_compensations c
JOIN tasker_tasks t ON t.task_id = c.original_task_id
WHERE c.task_id = ANY ($1::bigint[])
