-- Caller: step_states, and the delivery of steps that undo others. Index: primary key.
SELECT workflow_step_id, state AS "state: StepState", attempts
FROM tasker_workflow_steps
WHERE workflow_step_id = ANY ($1::bigint[])
