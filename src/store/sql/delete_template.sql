-- Caller: registration of another definition of a version that no task was made from. It gets an id of
-- its own: what processes keep of the old one stays true. Deletes its steps by their foreign key.
DELETE FROM tasker_named_tasks WHERE named_task_id = $1
