-- Caller: explain. Index: primary key. The size is that of what is kept here, sealed or not.
SELECT workflow_step_id, attempt, name, media_type, octet_length(content::text) AS bytes, uri
FROM tasker_artifacts
WHERE workflow_step_id = ANY ($1::bigint[])
ORDER BY workflow_step_id, attempt, created_at, name
