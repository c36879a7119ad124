-- Caller: rescue. Indexes: tasker_workers_alive, primary keys. Locks: one worker whose heartbeat
-- ended, or that has ended and may still hold claims, unless another rescuer holds it or it is one of
-- $1. In no order, so that one that cannot be rescued holds up no other. One that beats just before it
-- is locked is left alone: the last condition is checked on the row as it is then.
SELECT w.worker_id
FROM (
  SELECT worker_id FROM tasker_silent_workers
  UNION
  SELECT b.worker_id
  FROM (SELECT DISTINCT worker_id FROM tasker_claim_batches) AS b
  JOIN tasker_workers ended USING (worker_id)
  WHERE ended.state IN ('stopped', 'dead')
) AS dead
JOIN tasker_workers w USING (worker_id)
WHERE w.worker_id <> ALL ($1::bigint[])
  AND (w.state IN ('stopped', 'dead')
       OR w.heartbeat_at < statement_timestamp() - w.dead_after_ms * interval '1 millisecond')
ORDER BY random()
LIMIT 1
FOR NO KEY UPDATE OF w SKIP LOCKED
