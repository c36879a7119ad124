-- Caller: explain. Index: primary key.
SELECT workflow_step_id, created_at, from_state AS "from_state: StepState", to_state AS "to_state: StepState",
       event AS "event: StepEvent", attempt, worker_id, detail::text AS detail
FROM tasker_workflow_step_transitions
WHERE workflow_step_id = ANY ($1::bigint[])
ORDER BY workflow_step_id, workflow_step_transition_id
