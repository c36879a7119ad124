-- Caller: signals by key. Indexes: primary keys. At most $3 tasks with the key that have not ended, after $2.
SELECT c.task_id AS "task_id: TaskId"
FROM tasker_task_correlations c
JOIN tasker_tasks t USING (task_id)
WHERE c.correlation_key = $1 AND c.task_id > $2 AND t.finished_at IS NULL
ORDER BY c.task_id
LIMIT $3
