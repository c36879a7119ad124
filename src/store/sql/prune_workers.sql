-- Caller: the pruner, after the last task. Index: primary key. Workers that ended more than $1 seconds ago;
-- while one has claims listed, rescuers need its row.
WITH gone AS (
  DELETE FROM tasker_workers
  WHERE worker_id IN (
    SELECT w.worker_id
    FROM tasker_workers w
    WHERE w.stopped_at < statement_timestamp() - make_interval(secs => $1)
      AND NOT EXISTS (SELECT FROM tasker_claim_batches b WHERE b.worker_id = w.worker_id)
    LIMIT $2
    FOR UPDATE SKIP LOCKED
  )
  RETURNING worker_id
)
SELECT (SELECT count(*) FROM gone) AS "workers!",
       (SELECT count(*) FROM tasker_workers WHERE state IN ('running', 'draining')) AS "alive!"
