-- Caller: rerun of a task that has ended, under its lock: a deadline that has passed since does not end it again. Index: primary key.
DELETE FROM tasker_task_deadlines WHERE task_id = $1 AND deadline_at <= statement_timestamp()
