-- Caller: failures. Indexes: tasker_tasks_failed, which has no task that goes on or has completed, in the order of the
-- answer; then primary keys, of each task no more than $11 are read on. $6 names a step, or the one like which others
-- were added, or whose items they are. The last change of a step in error or blocked is the one that brought it there. The items of a
-- map step that failed by them are looked through up to the first one in error that was tried. Items that were given up are left
-- out unless $6 names one: they follow from those that failed, and are tried again with their map step.
SELECT s.workflow_step_id AS "workflow_step_id!", t.named_task_id AS "named_task_id!", t.state AS "task_state!: TaskState",
       n.name AS "namespace!", k.name AS "name!", k.version AS "version!", s.name AS "step!",
       s.step_index AS "prototype?", EXISTS (SELECT FROM tasker_compensations u WHERE u.original_task_id = t.task_id) AS "undone!",
       s.state AS "state!: StepState", s.attempts AS "attempts!",
       s.workflow_step_transition_id AS "transition_id!: TransitionId", s.created_at AS "failed_at!",
       s.event AS "event!: StepEvent", (s.error - 'backtrace' - 'causes' - 'context')::text AS error,
       m.parents AS "items?", s.failed_parents AS "failed_items!", (s.detail ->> 'tolerate')::int AS tolerate,
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
       CASE WHEN s.event = 'item_given_up' THEN s.detail::text END AS given_up
FROM tasker_tasks t
JOIN tasker_named_tasks k USING (named_task_id)
JOIN tasker_task_namespaces n USING (task_namespace_id)
CROSS JOIN LATERAL (
  SELECT f.*, coalesce(a.name, d.name) AS name, a.step_index
  FROM (
    SELECT w.workflow_step_id, w.named_step_id, w.state, w.attempts, w.failed_parents,
           c.workflow_step_transition_id, c.created_at, c.event, c.error, c.detail
    FROM tasker_workflow_steps w
    CROSS JOIN LATERAL (
      SELECT h.workflow_step_transition_id, h.created_at, h.event, h.error, h.detail
      FROM tasker_workflow_step_transitions h
      WHERE h.workflow_step_id = w.workflow_step_id
      ORDER BY h.workflow_step_transition_id DESC
      LIMIT 1
    ) AS c
    WHERE w.workflow_step_id >= (t.task_id << 20) AND w.workflow_step_id < ((t.task_id + 1) << 20)
      AND w.workflow_step_id < $1
      AND w.state IN ('error', 'blocked')
      AND ($6::text IS NOT NULL OR c.event <> 'item_given_up')
      AND ($7::tasker_step_state IS NULL OR w.state = $7)
      AND ($8::timestamptz IS NULL OR c.created_at >= $8)
      AND ($9::timestamptz IS NULL OR c.created_at < $9)
    ORDER BY w.workflow_step_id DESC
    OFFSET 0
  ) AS f
  JOIN tasker_named_steps d USING (named_step_id)
  LEFT JOIN tasker_added_steps a USING (workflow_step_id)
  WHERE ($6::text IS NULL OR $6 IN (d.name, a.name)) AND (f.event <> 'item_given_up' OR a.name = $6)
  ORDER BY f.workflow_step_id DESC
  LIMIT $11
) AS s
LEFT JOIN tasker_parent_counts m ON m.workflow_step_id = s.workflow_step_id AND s.event = 'items_failed'
WHERE (t.open_failures > 0 OR t.blocked_steps > 0)
  AND t.state NOT IN ('complete', 'cancelled', 'resolved_manually')
  AND t.task_id <= ($1::bigint >> 20)
  AND ($2::bigint IS NULL OR t.task_id = $2)
  AND ($3::text IS NULL OR n.name = $3)
  AND ($4::text IS NULL OR k.name = $4)
  AND ($5::text IS NULL OR k.version = $5)
  AND ($10::text IS NULL OR t.tags @> $10::text::jsonb)
ORDER BY t.task_id DESC, s.workflow_step_id DESC
LIMIT $11
