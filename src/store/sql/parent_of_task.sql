-- Caller: follow-ups. Index: primary keys. The step that runs the task, and by which name.
SELECT parent_step_id AS "step: StepId", name, depth
FROM tasker_child_tasks
WHERE task_id = $1
