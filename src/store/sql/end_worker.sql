-- Caller: a worker that stops in order, and rescue; it holds no claims. Indexes: primary keys.
WITH batch AS (
  DELETE FROM tasker_claim_batches WHERE worker_id = $1
)
UPDATE tasker_workers
SET state = $2, stopped_at = statement_timestamp()
WHERE worker_id = $1 AND state IN ('running', 'draining')
