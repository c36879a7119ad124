-- Caller: failures. Indexes: tasker_tasks_failed, which has no task that goes on or has completed, in the order of the
-- answer; then primary keys (OFFSET 0 keeps all steps from being read for once). $6 names a step, or the one like which others
-- were added, or whose items they are. The last change of a step in error or blocked is the one that brought it there. The items of a
-- map step that failed by them are looked through up to the first one in error that was tried. Items that were given up are left
-- out unless $6 names one: they follow from those that failed, and are tried again with their map step.
SELECT s.workflow_step_id AS "workflow_step_id!", t.named_task_id AS "named_task_id!", t.state AS "task_state!: TaskState",
       n.name AS "namespace!", k.name AS "name!", k.version AS "version!", coalesce(a.name, d.name) AS "step!",
       a.step_index AS "prototype?", EXISTS (SELECT FROM tasker_compensations u WHERE u.original_task_id = t.task_id) AS "undone!",
       s.state AS "state!: StepState", s.attempts AS "attempts!",
       c.workflow_step_transition_id AS "transition_id!: TransitionId", c.created_at AS "failed_at!",
       c.event AS "event!: StepEvent", (c.error - 'backtrace' - 'causes' - 'context')::text AS error,
       m.parents AS "items?", s.failed_parents AS "failed_items!", (c.detail ->> 'tolerate')::int AS tolerate,
       coalesce(
         (SELECT (i.workflow_step_id - m.first_item_id)::int
          FROM tasker_workflow_steps i
          WHERE i.workflow_step_id >= m.first_item_id AND i.workflow_step_id < m.first_item_id + m.parents
            AND i.state = 'error' AND i.attempts > 0
          ORDER BY i.workflow_step_id LIMIT 1),
         (SELECT (i.workflow_step_id - m.first_item_id)::int
          FROM tasker_workflow_steps i
          WHERE i.workflow_step_id >= m.first_item_id AND i.workflow_step_id < m.first_item_id + m.parents
            AND i.state = 'error'
          ORDER BY i.workflow_step_id LIMIT 1)) AS first_failed,
       CASE WHEN c.event = 'item_given_up' THEN c.detail::text END AS given_up
FROM tasker_tasks t
JOIN tasker_named_tasks k USING (named_task_id)
JOIN tasker_task_namespaces n USING (task_namespace_id)
CROSS JOIN LATERAL (
  SELECT w.workflow_step_id, w.named_step_id, w.state, w.attempts, w.failed_parents
  FROM tasker_workflow_steps w
  WHERE w.workflow_step_id >= (t.task_id << 20) AND w.workflow_step_id < ((t.task_id + 1) << 20)
    AND w.workflow_step_id < $1
    AND w.state IN ('error', 'blocked')
  OFFSET 0
) AS s
JOIN tasker_named_steps d ON d.named_step_id = s.named_step_id
LEFT JOIN tasker_added_steps a ON a.workflow_step_id = s.workflow_step_id
CROSS JOIN LATERAL (
  SELECT h.workflow_step_transition_id, h.created_at, h.event, h.error, h.detail
  FROM tasker_workflow_step_transitions h
  WHERE h.workflow_step_id = s.workflow_step_id
  ORDER BY h.workflow_step_transition_id DESC
  LIMIT 1
) AS c
LEFT JOIN tasker_parent_counts m ON m.workflow_step_id = s.workflow_step_id AND c.event = 'items_failed'
WHERE (t.open_failures > 0 OR t.blocked_steps > 0)
  AND t.state NOT IN ('complete', 'cancelled', 'resolved_manually')
  AND t.task_id <= ($1::bigint >> 20)
  AND ($2::bigint IS NULL OR t.task_id = $2)
  AND ($3::text IS NULL OR n.name = $3)
  AND ($4::text IS NULL OR k.name = $4)
  AND ($5::text IS NULL OR k.version = $5)
  AND ($6::text IS NULL OR $6 IN (d.name, a.name))
  AND (c.event <> 'item_given_up' OR a.name = $6)
  AND ($7::tasker_step_state IS NULL OR s.state = $7)
  AND ($8::timestamptz IS NULL OR c.created_at >= $8)
  AND ($9::timestamptz IS NULL OR c.created_at < $9)
  AND ($10::text IS NULL OR t.tags @> $10::text::jsonb)
ORDER BY t.task_id DESC, s.workflow_step_id DESC
LIMIT $11
