-- Caller: each worker's heartbeat; the one query of an idle worker. Says who is alive, and asks what
-- there is to do: due steps, the next due time, a worker to bury, claims of a worker that has ended, a task that is late.
-- Where workers rest, the queues of due steps are called: they may sleep for longer than a step may
-- wait. Indexes: primary keys, tasker_ready_steps_order with one probe a queue and priority that has steps,
-- tasker_workers_alive, those of deadlines. The batches of claims are few. Locks: the worker's row.
WITH RECURSIVE fleet AS (
  SELECT count(*) AS workers,
         count(*) FILTER (WHERE worker_id < $1) AS before,
         count(*) FILTER (WHERE worker_id <> $1 AND resting_ms > 0) > 0 AS rests,
         count(*) FILTER (WHERE worker_id <> $1 AND resting_ms = 0) AS busy
  FROM tasker_workers
  WHERE state IN ('running', 'draining')
), beat AS (
  UPDATE tasker_workers w
  SET heartbeat_at = statement_timestamp(), resting_ms = fleet.workers * $4::int
  FROM fleet
  WHERE w.worker_id = $1 AND w.state IN ('running', 'draining')
  RETURNING w.worker_id
), ended_batch AS (
  DELETE FROM tasker_claim_batches WHERE worker_id = $1 AND claim_batch_id = ANY ($5::bigint[])
), level AS (
  (SELECT queue, priority, available_at FROM tasker_ready_steps WHERE queue IS NOT NULL ORDER BY queue, priority, available_at LIMIT 1)
  UNION ALL
  SELECT next.queue, next.priority, next.available_at
  FROM level
  CROSS JOIN LATERAL (
    SELECT r.queue, r.priority, r.available_at
    FROM tasker_ready_steps r
    WHERE (r.queue, r.priority) > (level.queue, level.priority)
    ORDER BY r.queue, r.priority, r.available_at
    LIMIT 1
  ) AS next
), ready AS (
  SELECT queue, min(available_at) AS available_at FROM level GROUP BY queue
), call AS MATERIALIZED (
  SELECT pg_notify('tasker_ready', ready.queue)
  FROM ready, fleet
  WHERE fleet.rests AND ready.available_at <= statement_timestamp()
)
SELECT EXISTS (SELECT FROM beat) AS "alive!",
       fleet.workers AS "workers!",
       fleet.before AS "before!",
       fleet.busy AS "busy!",
       (SELECT count(*) FROM tasker_claim_batches b WHERE b.worker_id = $1) AS "claim_batches!",
       (SELECT min(available_at) FROM ready WHERE $3::boolean OR queue = ANY ($2::text[])) AS next_available_at,
       ARRAY (SELECT queue FROM ready WHERE $3 AND queue <> ALL ($2)) AS "other_queues!",
       (SELECT count(*) FROM call) AS "called!",
       statement_timestamp() AS "now!",
       EXISTS (SELECT FROM tasker_silent_workers WHERE worker_id <> $1) OR EXISTS (
         SELECT FROM (SELECT DISTINCT worker_id FROM tasker_claim_batches) AS b
         JOIN tasker_workers w USING (worker_id)
         WHERE w.state IN ('stopped', 'dead')
       ) AS "somebody_died!",
       EXISTS (SELECT FROM tasker_task_deadlines WHERE deadline_at <= statement_timestamp())
         OR EXISTS (SELECT FROM tasker_step_deadlines WHERE deadline_at <= statement_timestamp()) AS "somebody_late!",
       -- The attempts that run and that others have ended. BETWEEN stands for equality: docs/decisions/0004-plans.md.
       ARRAY (
         SELECT ran.id
         FROM unnest($6::bigint[], $7::int[]) AS ran (id, attempt)
         WHERE NOT EXISTS (
           SELECT FROM tasker_workflow_steps s
           WHERE s.workflow_step_id BETWEEN ran.id AND ran.id AND s.attempts = ran.attempt AND s.worker_id = $1)
       ) AS "lost!",
       EXISTS (SELECT FROM tasker_follow_ups WHERE follow_up_id > 0) AS "somebody_ended!"
FROM fleet
