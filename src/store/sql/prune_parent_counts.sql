-- Caller: the pruner. Index: primary key. At most $3 counts of parents of the tasks $1 (in order), from the step $2 on.
WITH doomed AS MATERIALIZED (
  SELECT row.place, row.id
  FROM unnest($1::bigint[]) AS gone (task_id)
  CROSS JOIN LATERAL (
    SELECT t.ctid AS place, t.workflow_step_id AS id
    FROM tasker_parent_counts t
    WHERE t.workflow_step_id >= greatest(gone.task_id << 20, $2) AND t.workflow_step_id < (gone.task_id + 1) << 20
    ORDER BY t.workflow_step_id
    LIMIT $3
  ) AS row
  LIMIT $3
), deleted AS (
  DELETE FROM tasker_parent_counts WHERE ctid = ANY (ARRAY (SELECT place FROM doomed))
)
SELECT count(*) AS "rows!", max(id) AS last FROM doomed
