-- Caller: steps that are executed anew, under the lock of the task: what they have added before is theirs no more, and nothing waits for
-- it. Indexes: primary keys, tasker_workflow_step_edges_to.
WITH gone AS (
  DELETE FROM tasker_workflow_step_edges
  WHERE from_step_id = ANY ($1::bigint[]) OR to_step_id = ANY ($1::bigint[])
)
UPDATE tasker_added_steps SET retired = true WHERE workflow_step_id = ANY ($1::bigint[])
