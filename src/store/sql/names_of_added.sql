-- Caller: the feed, artifacts and events, for steps that the template does not have. Index: primary key.
SELECT workflow_step_id AS "workflow_step_id: StepId", name
FROM tasker_added_steps
WHERE workflow_step_id = ANY ($1::bigint[])
