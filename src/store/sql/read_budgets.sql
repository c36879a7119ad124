-- Caller: decisions about tasks with a budget, under the locks of these. Index: primary key.
SELECT task_id AS "task_id: TaskId", max_attempts, max_cost, attempts, spent, reserved, exhausted
FROM tasker_task_budgets
WHERE task_id = ANY ($1::bigint[])
