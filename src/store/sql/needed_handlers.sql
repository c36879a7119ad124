-- Caller: doctor. Index: tasker_tasks_unfinished. The handlers of templates whose tasks have not all ended, each with the
-- first step that names it.
SELECT n.name AS "namespace!", t.name AS "name!", t.version AS "version!", s.step ->> 'handler_class' AS "handler_class!",
       (array_agg(s.step ->> 'name' ORDER BY s.position))[1] AS "step!"
FROM tasker_named_tasks t
JOIN tasker_task_namespaces n USING (task_namespace_id)
CROSS JOIN LATERAL json_array_elements(t.configuration -> 'step_templates') WITH ORDINALITY AS s (step, position)
WHERE t.named_task_id IN (SELECT named_task_id FROM tasker_tasks WHERE finished_at IS NULL)
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2, 3, min(s.position)
