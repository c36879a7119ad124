-- Caller: each worker's heartbeat; the one query of an idle worker. Says who is alive, and asks what
-- there is to do: due steps, the next due time, a worker to bury, claims of a worker that has ended.
-- Indexes: primary keys, tasker_ready_steps_order, tasker_workers_alive. The batches of claims are few.
WITH beat AS (
  UPDATE tasker_workers
  SET heartbeat_at = statement_timestamp()
  WHERE worker_id = $1 AND state IN ('running', 'draining')
  RETURNING worker_id
)
SELECT EXISTS (SELECT FROM beat) AS "alive!",
       (SELECT count(*) FROM tasker_claim_batches b WHERE b.worker_id = $1) AS "claim_batches!",
       (SELECT min(next.available_at)
        FROM unnest($2::text[]) AS served (queue)
        CROSS JOIN LATERAL (
          SELECT r.available_at
          FROM tasker_ready_steps r
          WHERE r.queue = served.queue
          ORDER BY r.available_at
          LIMIT 1
        ) AS next) AS next_available_at,
       statement_timestamp() AS "now!",
       EXISTS (
         SELECT FROM tasker_workers w
         WHERE w.state IN ('running', 'draining') AND w.worker_id <> $1
           AND w.heartbeat_at < statement_timestamp() - w.dead_after_ms * interval '1 millisecond'
       ) OR EXISTS (
         SELECT FROM (SELECT DISTINCT worker_id FROM tasker_claim_batches) AS b
         JOIN tasker_workers w USING (worker_id)
         WHERE w.state IN ('stopped', 'dead')
       ) AS "somebody_died!"
