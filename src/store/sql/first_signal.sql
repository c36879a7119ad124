-- Caller: a decision about a step, under the lock of the task. Index: primary key.
SELECT actor, created_at
FROM tasker_signals
WHERE task_id = $1 AND name = $2
ORDER BY signal_id
LIMIT 1
