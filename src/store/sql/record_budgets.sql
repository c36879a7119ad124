-- Caller: submit of tasks with a budget, after it has made them. Index: primary key.
INSERT INTO tasker_task_budgets (task_id, max_attempts, max_cost)
SELECT made.task_id, $2, $3
FROM unnest($1::bigint[]) AS made (task_id)
