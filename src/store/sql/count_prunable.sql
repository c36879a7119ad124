-- Caller: a dry run of the pruner. Reads all tasks.
SELECT count(*) AS "tasks!", coalesce(sum(total_steps), 0) AS "steps!"
FROM tasker_tasks
WHERE finished_at < statement_timestamp() - make_interval(secs => CASE state WHEN 'error' THEN $2::float8 ELSE $1::float8 END)
