-- Caller: whoever reads the items of a map step. Indexes: primary keys. Those after the number $2, at most $3: the steps of the
-- items have ids side by side. One after the other, so that none is read beyond the one with which they have come to $4 bytes.
WITH RECURSIVE part AS (
  SELECT c.first_item_id + $2::int AS workflow_step_id, c.first_item_id + least($2::int + $3::bigint, c.parents - 1) AS last_id,
         0::bigint AS bytes, NULL::int AS item_index, NULL::tasker_step_state AS state, NULL::int AS attempts,
         NULL::text AS inputs, NULL::text AS results
  FROM tasker_parent_counts c
  WHERE c.workflow_step_id = $1 AND c.first_item_id IS NOT NULL
  UNION ALL
  SELECT part.workflow_step_id + 1, part.last_id, part.bytes + octet_length(i.inputs) + coalesce(octet_length(i.results), 0),
         i.item_index, i.state, i.attempts, i.inputs, i.results
  FROM part
  CROSS JOIN LATERAL (
    SELECT a.item_index, s.state, s.attempts, a.inputs::text AS inputs, s.results::text AS results
    FROM tasker_workflow_steps s
    JOIN tasker_added_steps a ON a.workflow_step_id = s.workflow_step_id
    WHERE s.workflow_step_id = part.workflow_step_id + 1
    LIMIT 1
  ) i
  WHERE part.workflow_step_id < part.last_id AND part.bytes < $4
)
SELECT item_index AS "item_index!", state AS "state!: StepState", attempts AS "attempts!", inputs AS "inputs!", results
FROM part
WHERE item_index IS NOT NULL
ORDER BY workflow_step_id
