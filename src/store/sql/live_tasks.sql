-- Caller: `tasker templates diff`. Index: tasker_tasks_unfinished.
SELECT count(*) AS "count!", min(requested_at) AS oldest_at,
       ARRAY (SELECT t.task_id FROM tasker_tasks t
              WHERE t.finished_at IS NULL AND t.named_task_id = $1 ORDER BY t.task_id LIMIT 20) AS "task_ids!"
FROM tasker_tasks
WHERE finished_at IS NULL AND named_task_id = $1
