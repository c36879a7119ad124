-- Caller: explain. Index: primary key.
SELECT created_at, from_state AS "from_state: TaskState", to_state AS "to_state: TaskState",
       event AS "event: TaskEvent", detail::text AS detail
FROM tasker_task_transitions
WHERE task_id = $1
ORDER BY task_transition_id
