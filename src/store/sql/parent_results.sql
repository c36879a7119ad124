-- Caller: the delivery of claimed steps to handlers. Indexes: tasker_workflow_step_edges_to, primary key.
SELECT e.to_step_id, e.from_step_id, p.results::text AS results
FROM tasker_workflow_step_edges e
JOIN tasker_workflow_steps p ON p.workflow_step_id = e.from_step_id
WHERE e.to_step_id = ANY ($1::bigint[])
ORDER BY e.to_step_id, e.from_step_id
