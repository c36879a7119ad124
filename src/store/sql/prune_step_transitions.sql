-- Caller: the pruner. Index: primary key. At most $3 transitions of the tasks $1 (in order), from the step $2 on.
-- Feeds that did not come so far count them as missed.
WITH doomed AS MATERIALIZED (
  SELECT row.place, row.id
  FROM unnest($1::bigint[]) AS gone (task_id)
  CROSS JOIN LATERAL (
    SELECT t.ctid AS place, t.workflow_step_id AS id
    FROM tasker_workflow_step_transitions t
    WHERE t.workflow_step_id >= greatest(gone.task_id << 20, $2) AND t.workflow_step_id < (gone.task_id + 1) << 20
    ORDER BY t.workflow_step_id
    LIMIT $3
  ) AS row
  LIMIT $3
), deleted AS (
  DELETE FROM tasker_workflow_step_transitions WHERE ctid = ANY (ARRAY (SELECT place FROM doomed))
  RETURNING workflow_step_transition_id AS number
), missed AS (
  UPDATE tasker_feeds f
  SET missed = f.missed + late.rows
  FROM (SELECT f.consumer, count(*) AS rows
        FROM tasker_feeds f
        JOIN deleted d ON d.number > f.position
        GROUP BY f.consumer) AS late
  WHERE f.consumer = late.consumer
)
SELECT count(*) AS "rows!", max(id) AS last FROM doomed
