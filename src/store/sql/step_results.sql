-- Caller: a handler that asks for the results of a step which is not its parent. Index: primary key.
SELECT results::text AS results
FROM tasker_workflow_steps
WHERE workflow_step_id = $1
