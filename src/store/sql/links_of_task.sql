-- Caller: forks and steps that are executed anew, in a task that has grown, under its lock. Indexes: primary keys (a task's rows lie
-- side by side). Which steps follow from which: children from their parents, and what was added, with its name, from the step that has
-- added it.
SELECT from_step_id AS "from_step_id!", to_step_id AS "to_step_id!", NULL AS name
FROM tasker_workflow_step_edges
WHERE from_step_id >= ($1::bigint << 20) AND from_step_id < (($1::bigint + 1) << 20)
UNION ALL
SELECT added_by_step_id, workflow_step_id, name
FROM tasker_added_steps
WHERE workflow_step_id >= ($1::bigint << 20) AND workflow_step_id < (($1::bigint + 1) << 20) AND NOT retired
