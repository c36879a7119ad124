-- Caller: registration. Returns no row when another process was faster.
INSERT INTO tasker_named_tasks (task_namespace_id, name, version, description, configuration)
SELECT n.task_namespace_id, $2, $3, $4, $5::text::json
FROM tasker_task_namespaces n
WHERE n.name = $1
ON CONFLICT (task_namespace_id, name, version) DO NOTHING
RETURNING named_task_id
