-- Caller: after steps were retired, under the lock of the task. Indexes: primary key, tasker_workflow_step_edges_to. How many parents steps
-- have from now on; a map step has no items.
UPDATE tasker_parent_counts c
SET parents = (SELECT count(*) FROM tasker_workflow_step_edges e WHERE e.to_step_id = c.workflow_step_id), first_item_id = NULL
WHERE c.workflow_step_id = ANY ($1::bigint[])
