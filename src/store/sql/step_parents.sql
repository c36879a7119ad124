-- Caller: explain and result, of a task that has grown. Index: tasker_workflow_step_edges_to. The parents of these steps, of map
-- steps without their items.
SELECT e.from_step_id, e.to_step_id
FROM tasker_workflow_step_edges e
LEFT JOIN tasker_added_steps a ON a.workflow_step_id = e.from_step_id
WHERE e.to_step_id = ANY ($1::bigint[]) AND (a.item_index IS NULL OR a.added_by_step_id <> e.to_step_id)
ORDER BY e.to_step_id, e.from_step_id
