-- Caller: operators who saw a step, under the lock of its task. Index: primary key.
SELECT workflow_step_transition_id AS "transition_id: TransitionId"
FROM tasker_workflow_step_transitions
WHERE workflow_step_id = $1
ORDER BY workflow_step_transition_id DESC
LIMIT 1
