-- Caller: a worker that serves every queue. Index: tasker_named_steps_queue, one probe a queue.
WITH RECURSIVE known AS (
  (SELECT queue FROM tasker_named_steps ORDER BY queue LIMIT 1)
  UNION ALL
  SELECT (SELECT s.queue FROM tasker_named_steps s WHERE s.queue > known.queue ORDER BY s.queue LIMIT 1)
  FROM known
  WHERE known.queue IS NOT NULL
)
SELECT queue AS "queue!" FROM known WHERE queue IS NOT NULL
