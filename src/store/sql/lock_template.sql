-- Caller: registration. Index: UNIQUE (task_namespace_id, name, version). Locks: the version, against
-- submits and other registrations.
SELECT t.named_task_id, t.configuration::text AS "configuration!"
FROM tasker_named_tasks t
JOIN tasker_task_namespaces n USING (task_namespace_id)
WHERE n.name = $1 AND t.name = $2 AND t.version = $3
FOR UPDATE OF t
