-- Caller: a worker that stops in order, and rescue. Index: primary key.
UPDATE tasker_workers
SET state = $2, stopped_at = statement_timestamp()
WHERE worker_id = $1 AND state IN ('running', 'draining')
