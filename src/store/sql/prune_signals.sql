-- Caller: the pruner. Index: primary key. At most $3 signals of the tasks $1 (in order), from the task $2 on.
WITH doomed AS MATERIALIZED (
  SELECT row.place, row.id
  FROM unnest($1::bigint[]) AS gone (task_id)
  CROSS JOIN LATERAL (
    SELECT t.ctid AS place, t.task_id AS id
    FROM tasker_signals t
    WHERE t.task_id = gone.task_id AND t.task_id >= $2
    ORDER BY t.task_id
    LIMIT $3
  ) AS row
  LIMIT $3
), deleted AS (
  DELETE FROM tasker_signals WHERE ctid = ANY (ARRAY (SELECT place FROM doomed))
)
SELECT count(*) AS "rows!", max(id) AS last FROM doomed
