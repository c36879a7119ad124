-- Caller: a handler that runs a workflow, in the transaction that makes the task, under the lock of its own.
INSERT INTO tasker_child_tasks (task_id, parent_step_id, name, generation, depth, left_alone)
VALUES ($1, $2, $3, $4, $5, $6)
