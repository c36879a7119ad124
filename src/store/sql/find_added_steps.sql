-- Caller: decisions that add steps, operators and handlers that name one. Index: tasker_added_steps_name. Not those that are retired.
-- OFFSET 0: see docs/decisions/0004-plans.md.
SELECT a.workflow_step_id AS "workflow_step_id!", a.step_index AS "step_index!", a.name AS "name!"
FROM unnest($2::text[]) AS wanted (name)
CROSS JOIN LATERAL (
  SELECT s.workflow_step_id, s.step_index, s.name
  FROM tasker_added_steps s
  WHERE s.workflow_step_id >> 20 = $1::bigint AND s.name = wanted.name AND NOT s.retired
  OFFSET 0
) AS a
