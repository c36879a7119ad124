-- Caller: steps that are executed anew in a task that has grown, under the lock of the task. Indexes: tasker_workflow_step_edges_pkey and
-- _to, primary key of tasker_added_steps. The step $1 and all below it, with their parents but for the items of a map step
-- itself, and whether they have added steps, items among them: for that, all that was added to the task is read. OFFSET 0: see docs/decisions/0004-plans.md.
WITH RECURSIVE below (id) AS (
  SELECT $1::bigint
  UNION
  SELECT e.to_step_id
  FROM below b
  CROSS JOIN LATERAL (SELECT to_step_id FROM tasker_workflow_step_edges WHERE from_step_id = b.id OFFSET 0) AS e
)
SELECT b.id AS "step!", own.name AS "name?",
       ARRAY (
         SELECT e.from_step_id
         FROM tasker_workflow_step_edges e
         LEFT JOIN tasker_added_steps a ON a.workflow_step_id = e.from_step_id
         WHERE e.to_step_id = b.id AND (a.item_index IS NULL OR a.added_by_step_id <> b.id)
         ORDER BY e.from_step_id
       ) AS "parents!",
       b.id IN (
         SELECT a.added_by_step_id
         FROM tasker_added_steps a
         WHERE a.workflow_step_id >= ($1 >> 20) << 20 AND a.workflow_step_id < (($1 >> 20) + 1) << 20
       ) AS "has_added!"
FROM below b
LEFT JOIN tasker_added_steps own ON own.workflow_step_id = b.id
ORDER BY b.id
