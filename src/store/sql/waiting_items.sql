-- Caller: explain. Indexes: primary keys. Of each of these map steps the first $2 items that wait, and for what.
SELECT c.workflow_step_id, c.first_item_id AS "first_item_id!", i.workflow_step_id AS "item_id!", i.signal, i.available_at AS "available_at!",
       h.created_at AS "since!", h.detail::text AS detail
FROM unnest($1::bigint[]) AS asked (id)
JOIN tasker_parent_counts c ON c.workflow_step_id = asked.id AND c.first_item_id IS NOT NULL
CROSS JOIN LATERAL (
  SELECT s.workflow_step_id, w.signal, r.available_at
  FROM tasker_workflow_steps s
  JOIN tasker_step_waits w USING (workflow_step_id)
  JOIN tasker_ready_steps r USING (workflow_step_id)
  WHERE s.workflow_step_id >= c.first_item_id AND s.workflow_step_id < c.first_item_id + c.parents AND s.state = 'waiting'
  ORDER BY s.workflow_step_id
  LIMIT $2
) AS i
CROSS JOIN LATERAL (
  SELECT t.created_at, t.detail
  FROM tasker_workflow_step_transitions t
  WHERE t.workflow_step_id = i.workflow_step_id
  ORDER BY t.workflow_step_transition_id DESC
  LIMIT 1
) AS h
ORDER BY i.workflow_step_id
