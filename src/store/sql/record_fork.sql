-- Caller: fork. Indexes: primary keys. The task is found by what the other one is found by.
WITH correlated AS (
  INSERT INTO tasker_task_correlations (correlation_key, task_id)
  SELECT correlation_key, $1 FROM tasker_task_correlations WHERE task_id = $2
)
INSERT INTO tasker_task_forks (task_id, forked_from, from_steps, actor, reason)
VALUES ($1, $2, $3::text::jsonb, $4, $5)
