-- Caller: registration of a version that no task was made from yet.
UPDATE tasker_named_tasks SET description = $2, configuration = $3::text::json, revision = revision + 1
WHERE named_task_id = $1
