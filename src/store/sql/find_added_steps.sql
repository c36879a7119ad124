-- Caller: decisions that add steps, operators and handlers that name one. Index: tasker_added_steps_name.
SELECT a.workflow_step_id, a.step_index, a.name
FROM unnest($2::text[]) AS wanted (name)
JOIN tasker_added_steps a ON a.workflow_step_id >> 20 = $1::bigint AND a.name = wanted.name
