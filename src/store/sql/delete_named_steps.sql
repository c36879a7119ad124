-- Caller: registration of a version that no task was made from yet.
DELETE FROM tasker_named_steps WHERE named_task_id = $1
