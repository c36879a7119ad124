-- Caller: rescue. Index: tasker_workers_alive. Locks: one worker whose heartbeat ended, unless another
-- rescuer holds it.
SELECT worker_id
FROM tasker_workers
WHERE state IN ('running', 'draining')
  AND heartbeat_at < statement_timestamp() - dead_after_ms * interval '1 millisecond'
ORDER BY worker_id
LIMIT 1
FOR NO KEY UPDATE SKIP LOCKED
