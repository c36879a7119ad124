-- Caller: the delivery of claimed steps to handlers, and a handler that asks for the results of a step
-- which is not its parent. Index: primary key.
SELECT workflow_step_id, results::text AS results
FROM tasker_workflow_steps
WHERE workflow_step_id = ANY ($1::bigint[])
