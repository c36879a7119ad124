-- Caller: the start of a worker.
INSERT INTO tasker_workers (host, pid, concurrency, queues, dead_after_ms)
VALUES ($1, $2, $3, $4, $5)
RETURNING worker_id
