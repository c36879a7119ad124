-- Caller: registration. Index: UNIQUE (task_namespace_id, name, version). Locks: the version.
SELECT t.named_task_id,
       t.configuration::text AS "configuration!",
       EXISTS (SELECT FROM tasker_tasks k WHERE k.named_task_id = t.named_task_id) AS "used!"
FROM tasker_named_tasks t
JOIN tasker_task_namespaces n USING (task_namespace_id)
WHERE n.name = $1 AND t.name = $2 AND t.version = $3
FOR UPDATE OF t
