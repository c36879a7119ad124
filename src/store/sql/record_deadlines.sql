-- Caller: submit of tasks with a deadline, after it has made them, counted from when they were requested. Index: primary key.
INSERT INTO tasker_task_deadlines (task_id, deadline_at)
SELECT made.task_id, now() + make_interval(secs => $2)
FROM unnest($1::bigint[]) AS made (task_id)
