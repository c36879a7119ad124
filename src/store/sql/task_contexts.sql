-- Caller: the delivery of claimed steps to handlers. Index: primary key.
SELECT task_id, named_task_id, context::text AS "context!"
FROM tasker_tasks
WHERE task_id = ANY ($1::bigint[])
