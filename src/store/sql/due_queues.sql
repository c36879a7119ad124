-- Caller: a worker that cannot listen, twice a second. The queues with steps that can be claimed. Index:
-- tasker_ready_steps_order with one probe a queue that has steps.
WITH RECURSIVE ready AS (
  (SELECT queue, available_at FROM tasker_ready_steps WHERE queue IS NOT NULL ORDER BY queue, available_at LIMIT 1)
  UNION ALL
  SELECT next.queue, next.available_at
  FROM ready
  CROSS JOIN LATERAL (
    SELECT r.queue, r.available_at
    FROM tasker_ready_steps r
    WHERE r.queue > ready.queue
    ORDER BY r.queue, r.available_at
    LIMIT 1
  ) AS next
)
SELECT queue AS "queue!"
FROM ready
WHERE available_at <= statement_timestamp()
