-- Caller: registration, which writes nothing where these are stored as they are to be: one statement, so that a template
-- and the one that undoes its tasks are of the same time. Index: UNIQUE (task_namespace_id, name, version). Locks: none.
SELECT t.named_task_id, t.name, t.configuration::text AS "configuration!"
FROM tasker_named_tasks t
JOIN tasker_task_namespaces n USING (task_namespace_id)
WHERE n.name = $1 AND t.name = ANY ($2::text[]) AND t.version = $3
