-- Caller: rescue. Index: primary key. Locks: the tasks that nobody holds; whoever holds one of a dead
-- worker's tasks for long keeps none of the others from being rescued.
SELECT t.task_id
FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted (id, position)
JOIN tasker_tasks t ON t.task_id BETWEEN wanted.id AND wanted.id
ORDER BY wanted.position
FOR NO KEY UPDATE OF t SKIP LOCKED
