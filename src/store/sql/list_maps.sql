-- Caller: result and explain of a task that has grown. Indexes: primary keys. The map steps that have begun, and how many of their
-- items are in which state.
SELECT c.workflow_step_id, c.parents, s.by_state::text AS "by_state!"
FROM tasker_parent_counts c
CROSS JOIN LATERAL (
  SELECT jsonb_object_agg(k.state, k.items) AS by_state
  FROM (
    SELECT i.state, count(*) AS items
    FROM tasker_workflow_steps i
    WHERE i.workflow_step_id >= c.first_item_id AND i.workflow_step_id < c.first_item_id + c.parents
    GROUP BY i.state
  ) AS k
) AS s
WHERE c.workflow_step_id >= ($1::bigint << 20) AND c.workflow_step_id < (($1::bigint + 1) << 20)
  AND c.first_item_id IS NOT NULL
ORDER BY c.workflow_step_id
