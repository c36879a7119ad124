-- Caller: rerun, under the lock of the task: the handlers of these steps begin as if they had never run a workflow. Index: UNIQUE
-- (parent_step_id, name, generation).
UPDATE tasker_child_tasks SET superseded = true
WHERE parent_step_id = ANY ($1::bigint[]) AND NOT superseded
