-- Caller: rescue. Indexes: tasker_workers_alive, tasker_workflow_steps_claimed (one probe a worker that
-- holds claims). Locks: one worker whose heartbeat ended, or that has ended and still holds claims,
-- unless another rescuer holds it. In no order, so that one that cannot be rescued holds up no other.
WITH RECURSIVE holder AS (
  (SELECT worker_id FROM tasker_workflow_steps WHERE worker_id IS NOT NULL ORDER BY worker_id LIMIT 1)
  UNION ALL
  SELECT (SELECT s.worker_id FROM tasker_workflow_steps s
          WHERE s.worker_id > holder.worker_id ORDER BY s.worker_id LIMIT 1)
  FROM holder
  WHERE holder.worker_id IS NOT NULL
)
SELECT w.worker_id
FROM tasker_workers w
WHERE (w.state IN ('running', 'draining')
       AND w.heartbeat_at < statement_timestamp() - w.dead_after_ms * interval '1 millisecond')
   OR (w.state IN ('stopped', 'dead')
       AND w.worker_id IN (SELECT worker_id FROM holder))
ORDER BY random()
LIMIT 1
FOR NO KEY UPDATE OF w SKIP LOCKED
