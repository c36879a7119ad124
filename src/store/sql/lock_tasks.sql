-- Caller: every decision but claims. Index: primary key. Locks: the tasks, in the order in which they are given, that of their ids;
-- whoever changes a task's steps holds them first.
SELECT t.task_id,
       t.named_task_id,
       t.state AS "state: TaskState",
       t.parent_step_id IS NOT NULL AS "is_child!",
       t.total_steps, t.runnable_steps, t.waiting_steps, t.blocked_steps, t.open_failures, t.has_budget,
       t.has_deadline, t.priority,
       statement_timestamp() AS "now!"
FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted (id, position)
JOIN tasker_tasks t ON t.task_id BETWEEN wanted.id AND wanted.id
ORDER BY wanted.position
FOR NO KEY UPDATE OF t
