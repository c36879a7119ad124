-- Caller: registration of another definition of a version. Index: UNIQUE (task_namespace_id, name, version). Locks: the
-- version, against submits and other registrations, which it waits for: no longer than $4.
WITH settings AS MATERIALIZED (SELECT set_config('lock_timeout', $4, true))
SELECT t.named_task_id, t.configuration::text AS "configuration!"
FROM settings, tasker_named_tasks t
JOIN tasker_task_namespaces n USING (task_namespace_id)
WHERE n.name = $1 AND t.name = $2 AND t.version = $3
FOR UPDATE OF t
