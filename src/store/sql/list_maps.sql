-- Caller: result and explain of a task that has grown. Indexes: primary keys. The map steps that have begun, how many of their
-- items are in which state, how many of these were never tried, and the first one in error, of those that have if there are any.
SELECT c.workflow_step_id, c.parents, s.by_state::text AS "by_state!", s.untried_by_state::text AS "untried_by_state!",
       (s.first_failed_id - c.first_item_id)::int AS first_failed
FROM tasker_parent_counts c
CROSS JOIN LATERAL (
  SELECT jsonb_object_agg(k.state, k.items) AS by_state, min(k.first_id) FILTER (WHERE k.state = 'error') AS first_failed_id,
         jsonb_object_agg(k.state, k.untried) AS untried_by_state
  FROM (
    SELECT i.state, count(*) AS items, count(*) FILTER (WHERE i.attempts = 0) AS untried,
           coalesce(min(i.workflow_step_id) FILTER (WHERE i.attempts > 0), min(i.workflow_step_id)) AS first_id
    FROM tasker_workflow_steps i
    WHERE i.workflow_step_id >= c.first_item_id AND i.workflow_step_id < c.first_item_id + c.parents
    GROUP BY i.state
  ) AS k
) AS s
WHERE c.workflow_step_id >= ($1::bigint << 20) AND c.workflow_step_id < (($1::bigint + 1) << 20)
  AND c.first_item_id IS NOT NULL
ORDER BY c.workflow_step_id
