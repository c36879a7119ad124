-- Caller: the end of claims, under the locks of the tasks. Indexes: primary keys of steps and edges.
-- $1: ended steps and children whose rows the caller does not know; $2: ended steps whose children it does
-- not know. Such a child stands once for each of these parents, with the parent's id. OFFSET 0 and BETWEEN: see
-- docs/decisions/0004-plans.md.
SELECT NULL::bigint AS parent_id, s.workflow_step_id AS "workflow_step_id!", s.state AS "state!: StepState",
       s.open_parents AS "open_parents!", s.failed_parents AS "failed_parents!",
       s.skipped_parents AS "skipped_parents!", s.attempts AS "attempts!", s.failures AS "failures!",
       s.crashes AS "crashes!", s.worker_id, statement_timestamp() AS "now!"
FROM unnest($1::bigint[]) AS ended (id)
JOIN tasker_workflow_steps s ON s.workflow_step_id BETWEEN ended.id AND ended.id
UNION ALL
SELECT e.from_step_id, c.workflow_step_id, c.state, c.open_parents, c.failed_parents, c.skipped_parents,
       c.attempts, c.failures, c.crashes, c.worker_id, statement_timestamp()
FROM unnest($2::bigint[]) AS ended (id)
CROSS JOIN LATERAL (
  SELECT from_step_id, to_step_id FROM tasker_workflow_step_edges WHERE from_step_id = ended.id OFFSET 0
) AS e
JOIN tasker_workflow_steps c ON c.workflow_step_id BETWEEN e.to_step_id AND e.to_step_id
