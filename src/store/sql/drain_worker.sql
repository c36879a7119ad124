-- Caller: a worker that begins to stop. Index: primary key.
UPDATE tasker_workers
SET state = 'draining'
WHERE worker_id = $1 AND state = 'running'
