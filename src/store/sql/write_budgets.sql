-- Caller: decisions about tasks with a budget, under the locks of these. Index: primary key.
UPDATE tasker_task_budgets b
SET max_attempts = c.max_attempts, max_cost = c.max_cost, attempts = c.attempts, spent = c.spent, reserved = c.reserved,
    exhausted = c.exhausted
FROM unnest($1::bigint[], $2::int[], $3::bigint[], $4::int[], $5::bigint[], $6::bigint[], $7::text[])
  AS c (id, max_attempts, max_cost, attempts, spent, reserved, exhausted)
WHERE b.task_id BETWEEN c.id AND c.id
