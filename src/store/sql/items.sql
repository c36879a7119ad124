-- Caller: whoever reads the items of a map step. Indexes: primary keys. Those after the number $2, at most $3: the steps of the
-- items have ids side by side.
SELECT a.item_index AS "item_index!", s.state AS "state: StepState", s.attempts, a.inputs::text AS "inputs!", s.results::text AS results
FROM tasker_parent_counts c
JOIN tasker_workflow_steps s
  ON s.workflow_step_id > c.first_item_id + $2::int
 AND s.workflow_step_id <= c.first_item_id + least($2::int + $3::bigint, c.parents - 1)
JOIN tasker_added_steps a ON a.workflow_step_id = s.workflow_step_id
WHERE c.workflow_step_id = $1 AND c.first_item_id IS NOT NULL
ORDER BY s.workflow_step_id
