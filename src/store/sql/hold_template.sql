-- Caller: submit, before it writes what it planned from a template that was read earlier; registration of what undoes the tasks
-- of one that is stored as it is to be. Index: primary key. Locks: the version, against a change of its definition, together with other submits.
SELECT true AS "held!"
FROM tasker_named_tasks
WHERE named_task_id = $1
FOR KEY SHARE
