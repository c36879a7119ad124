-- Caller: submit by name. Index: UNIQUE (task_namespace_id, name, version).
SELECT t.named_task_id, t.version
FROM tasker_named_tasks t
JOIN tasker_task_namespaces n USING (task_namespace_id)
WHERE n.name = $1 AND t.name = $2
