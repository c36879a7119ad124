-- Caller: the delivery of claimed steps to handlers, and a handler that asks for the state or the results of
-- another step; a second resolve of a step. Index: primary key.
SELECT workflow_step_id, state AS "state: StepState", results::text AS results
FROM tasker_workflow_steps
WHERE workflow_step_id = ANY ($1::bigint[])
