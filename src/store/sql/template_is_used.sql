-- Caller: registration of another definition of a version, before it is locked and under the lock: a statement of its
-- own, so that it sees the submit that the lock waited for.
SELECT EXISTS (SELECT FROM tasker_tasks WHERE named_task_id = $1) AS "used!"
