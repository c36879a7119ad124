-- Caller: result and explain of a task that has grown. Index: primary key. Without the items of map steps, and those that are retired.
SELECT a.workflow_step_id, a.step_index, a.name, a.item_index, a.added_by_step_id, a.added_by_attempt
FROM tasker_added_steps a
WHERE a.workflow_step_id >= ($1::bigint << 20) AND a.workflow_step_id < (($1::bigint + 1) << 20)
  AND (a.item_index IS NULL AND NOT a.retired OR a.workflow_step_id = ANY ($2::bigint[]))
ORDER BY a.workflow_step_id
