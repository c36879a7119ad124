-- Caller: the cache of templates. Index: primary key.
SELECT t.configuration::text AS "configuration!",
       ARRAY (SELECT s.named_step_id FROM tasker_named_steps s
              WHERE s.named_task_id = t.named_task_id ORDER BY s.step_index) AS "named_step_ids!"
FROM tasker_named_tasks t
WHERE t.named_task_id = $1
