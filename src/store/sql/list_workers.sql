-- Caller: `tasker workers` and explain. Index: tasker_workers_alive, tasker_workflow_steps_claimed.
SELECT w.worker_id, w.state AS "state: WorkerState", w.host, w.pid, w.queues, w.concurrency,
       w.started_at, w.heartbeat_at,
       w.heartbeat_at < statement_timestamp() - w.dead_after_ms * interval '1 millisecond' AS "silent!",
       (SELECT count(*) FROM tasker_workflow_steps s WHERE s.worker_id = w.worker_id) AS "claims!"
FROM tasker_workers w
WHERE w.state IN ('running', 'draining')
ORDER BY w.worker_id
