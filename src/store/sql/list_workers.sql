-- Caller: `tasker workers` and explain. Indexes: tasker_workers_alive, primary keys.
SELECT w.worker_id, w.state AS "state: WorkerState", w.host, w.pid, w.queues, w.concurrency,
       w.started_at, w.heartbeat_at,
       w.worker_id IN (SELECT worker_id FROM tasker_silent_workers) AS "silent!",
       (SELECT count(DISTINCT s.workflow_step_id)
        FROM tasker_claim_batches b
        CROSS JOIN LATERAL unnest(b.workflow_step_ids) AS listed (id)
        JOIN tasker_workflow_steps s ON s.workflow_step_id = listed.id AND s.worker_id = b.worker_id
        WHERE b.worker_id = w.worker_id) AS "claims!"
FROM tasker_workers w
WHERE w.state IN ('running', 'draining')
ORDER BY w.worker_id
