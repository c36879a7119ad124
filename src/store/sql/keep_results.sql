-- Caller: rerun, under the lock of the task, before the steps are reset: their results stay in history. Index: primary key. They are
-- copied as they are, sealed or not. A step's are numbered from 1.
INSERT INTO tasker_artifacts (workflow_step_id, attempt, name, media_type, content, created_at)
SELECT s.workflow_step_id, s.attempts, 'tasker.results.' || kept.before + 1, 'application/json', s.results, statement_timestamp()
FROM tasker_workflow_steps s
CROSS JOIN LATERAL (
  SELECT count(*) AS before
  FROM tasker_artifacts a
  WHERE a.workflow_step_id = s.workflow_step_id AND a.name LIKE 'tasker.results.%'
) AS kept
WHERE s.workflow_step_id = ANY ($1::bigint[]) AND s.results IS NOT NULL
