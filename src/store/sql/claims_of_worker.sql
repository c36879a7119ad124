-- Caller: rescue, and a worker that does not know what it holds. Indexes: primary keys. One row for
-- each listed step; without its number of attempts when the worker does not hold it (any more).
SELECT b.claim_batch_id, listed.id AS "workflow_step_id!", s.attempts AS "attempts?",
       coalesce(s.failures, 0) AS "failures!", coalesce(s.crashes, 0) AS "crashes!"
FROM tasker_claim_batches b
CROSS JOIN LATERAL unnest(b.workflow_step_ids) AS listed (id)
LEFT JOIN tasker_workflow_steps s ON s.workflow_step_id = listed.id AND s.worker_id = b.worker_id
WHERE b.worker_id = $1
ORDER BY b.claim_batch_id
