-- Caller: the delivery of claimed steps to handlers. Index: primary key.
SELECT workflow_step_id, results::text AS results
FROM tasker_workflow_steps
WHERE workflow_step_id = ANY ($1::bigint[])
