-- Caller: the raise of a budget, under the lock of the task. Indexes: primary keys. The steps that the budget kept from being
-- started.
SELECT s.workflow_step_id AS "workflow_step_id: StepId"
FROM tasker_workflow_steps s
CROSS JOIN LATERAL (
  SELECT t.event
  FROM tasker_workflow_step_transitions t
  WHERE t.workflow_step_id = s.workflow_step_id
  ORDER BY t.workflow_step_transition_id DESC
  LIMIT 1
) AS last
WHERE s.workflow_step_id >= ($1::bigint << 20) AND s.workflow_step_id < (($1::bigint + 1) << 20)
  AND s.state = 'error' AND last.event = 'budget_exhausted'
ORDER BY s.workflow_step_id
