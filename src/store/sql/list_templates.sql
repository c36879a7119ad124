-- Caller: `tasker templates list`.
SELECT t.named_task_id AS "template_id!", n.name AS "namespace!", t.name AS "name!", t.version AS "version!", t.description,
       (SELECT count(*) FROM tasker_named_steps s WHERE s.named_task_id = t.named_task_id) AS "steps!"
FROM tasker_named_tasks t
JOIN tasker_task_namespaces n USING (task_namespace_id)
ORDER BY n.name, t.name, t.named_task_id
