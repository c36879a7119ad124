-- Caller: a worker whose heartbeat saw a deadline that has passed. Index: tasker_task_deadlines_due. Locks: the deadline, unless
-- another worker holds it. $1: tasks that somebody else holds.
SELECT task_id AS "task_id: TaskId", deadline_at
FROM tasker_task_deadlines
WHERE deadline_at <= statement_timestamp() AND task_id <> ALL ($1::bigint[])
ORDER BY deadline_at
LIMIT 1
FOR UPDATE SKIP LOCKED
