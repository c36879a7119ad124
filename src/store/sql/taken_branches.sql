-- Caller: rerun and fork, under the lock of the task: what decision steps have taken the last time, a JSON array of names. Index:
-- primary key.
SELECT s.id AS "step!: StepId", t.took::text AS "took!"
FROM unnest($1::bigint[]) AS s (id)
CROSS JOIN LATERAL (
  SELECT detail -> 'took' AS took
  FROM tasker_workflow_step_transitions
  WHERE workflow_step_id = s.id AND to_state IN ('complete', 'resolved_manually')
  ORDER BY workflow_step_transition_id DESC
  LIMIT 1
) AS t
WHERE t.took IS NOT NULL
