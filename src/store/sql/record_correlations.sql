-- Caller: submit of tasks with a correlation key. Index: primary key.
INSERT INTO tasker_task_correlations (correlation_key, task_id)
SELECT $2, task.id FROM unnest($1::bigint[]) AS task (id)
