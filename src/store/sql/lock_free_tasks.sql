-- Caller: claims that must change the task itself (its first claim, the claim of a retry). Index:
-- primary key. Locks: the tasks that nobody holds; the claimer holds rows of the hot table and must
-- not wait behind one who holds the task and wants those.
SELECT task_id,
       named_task_id,
       state AS "state: TaskState",
       runnable_steps, waiting_steps, blocked_steps, failed_steps,
       statement_timestamp() AS "now!"
FROM tasker_tasks
WHERE task_id = ANY ($1::bigint[])
ORDER BY task_id
FOR NO KEY UPDATE SKIP LOCKED
