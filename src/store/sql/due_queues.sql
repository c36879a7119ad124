-- Caller: a worker that cannot listen, twice a second. The queues with steps that can be claimed. Index:
-- tasker_ready_steps_order with one probe a queue and priority that has steps.
WITH RECURSIVE level AS (
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
)
SELECT DISTINCT queue AS "queue!"
FROM level
WHERE available_at <= statement_timestamp()
