-- Caller: a worker that stops in order, and rescue; no claim of the worker was found. Indexes: primary
-- keys, tasker_claim_batches_worker. A batch of claims that the worker made since then stays: whoever
-- finds it takes them back.
WITH over AS (
  DELETE FROM tasker_claim_batches b
  WHERE b.worker_id = $1
    AND NOT EXISTS (
      SELECT FROM unnest(b.workflow_step_ids) AS listed (id)
      JOIN tasker_workflow_steps s ON s.workflow_step_id BETWEEN listed.id AND listed.id
      WHERE s.worker_id = b.worker_id)
)
UPDATE tasker_workers
SET state = $2, stopped_at = statement_timestamp()
WHERE worker_id = $1 AND state IN ('running', 'draining')
