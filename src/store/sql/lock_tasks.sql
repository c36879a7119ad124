-- Caller: every decision but claims. Index: primary key. Locks: the tasks, in the order of their ids;
-- whoever changes a task's steps holds them first.
SELECT task_id,
       named_task_id,
       state AS "state: TaskState",
       runnable_steps, waiting_steps, blocked_steps, failed_steps,
       statement_timestamp() AS "now!"
FROM tasker_tasks
WHERE task_id = ANY ($1::bigint[])
ORDER BY task_id
FOR NO KEY UPDATE
