-- Caller: a handler that runs a workflow, under the lock of its task. Index: primary key.
SELECT coalesce(max(signal_id), 0) AS "id!: SignalId"
FROM tasker_signals
WHERE task_id = $1 AND name = $2
