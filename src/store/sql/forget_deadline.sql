-- Caller: a worker that has locked the deadline and ended its task, or found it ended. Index: primary key.
DELETE FROM tasker_task_deadlines WHERE task_id = $1
