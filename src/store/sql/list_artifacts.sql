-- Caller: whoever asks for a task's artifacts. Index: primary key. Those of the steps $1 to $2.
SELECT workflow_step_id, attempt, name, media_type, content::text AS content, uri, created_at
FROM tasker_artifacts
WHERE workflow_step_id BETWEEN $1 AND $2
ORDER BY workflow_step_id, attempt, created_at, name
