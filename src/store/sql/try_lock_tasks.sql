-- Caller: rescue, ends of tasks that somebody held. Index: primary key. Locks: the tasks that nobody holds; whoever
-- holds one of them for long keeps none of the others from being written. Tasks that are gone are told of too:
-- nobody holds them.
WITH locked AS (
  SELECT t.task_id
  FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted (id, position)
  JOIN tasker_tasks t ON t.task_id BETWEEN wanted.id AND wanted.id
  ORDER BY wanted.position
  FOR NO KEY UPDATE OF t SKIP LOCKED
)
SELECT task_id AS "task_id!" FROM locked
UNION ALL
SELECT wanted.id
FROM unnest($1::bigint[]) AS wanted (id)
WHERE NOT EXISTS (SELECT FROM tasker_tasks t WHERE t.task_id BETWEEN wanted.id AND wanted.id)
