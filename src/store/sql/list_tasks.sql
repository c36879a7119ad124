-- Caller: status and list. Indexes: primary keys; tasker_tasks_unfinished and tasker_tasks_failed for
-- those that have not ended, and a state that few tasks are in; tasker_added_steps_retired. The steps of a task lie side by side.
SELECT t.task_id AS "task_id!", n.name AS "namespace!", k.name AS "name!", k.version AS "version!",
       t.state AS "state!: TaskState", t.total_steps AS "total_steps!", s.retired AS "retired_steps!", t.requested_at AS "requested_at!", t.started_at, t.finished_at,
       t.initiator, t.source_system, t.reason, t.tags::text AS tags, t.priority AS "priority!",
       (SELECT json_build_object('task_id', f.forked_from, 'steps', f.from_steps, 'actor', f.actor, 'reason', f.reason)::text
        FROM tasker_task_forks f WHERE f.task_id = t.task_id) AS forked_from,
       (SELECT coalesce(json_agg(f.task_id ORDER BY f.task_id), '[]')::text
        FROM (SELECT task_id FROM tasker_task_forks WHERE forked_from = t.task_id ORDER BY task_id LIMIT 20) AS f) AS "forks!",
       (SELECT d.deadline_at FROM tasker_task_deadlines d WHERE d.task_id = t.task_id) AS deadline_at,
       (SELECT jsonb_build_object('max_attempts', b.max_attempts, 'attempts', b.attempts, 'max_cost', b.max_cost / 1e6,
                                  'spent', b.spent / 1e6, 'reserved', b.reserved / 1e6, 'exhausted', b.exhausted)::text
        FROM tasker_task_budgets b WHERE b.task_id = t.task_id) AS budget,
       s.steps_by_state::text AS "steps_by_state!", s.attempts AS "attempts!"
FROM (
  SELECT * FROM tasker_tasks WHERE $2::tasker_task_state IS NULL AND NOT $8::bool
  UNION ALL
  SELECT * FROM tasker_tasks WHERE $2 IS NULL AND $8 AND finished_at IS NULL
  UNION ALL
  SELECT * FROM tasker_tasks
  WHERE $2 IN ('pending', 'in_progress', 'waiting', 'blocked', 'paused') AND state = $2 AND finished_at IS NULL
  UNION ALL
  SELECT * FROM tasker_tasks WHERE $2 = 'error' AND state = $2 AND open_failures > 0
  UNION ALL
  SELECT * FROM tasker_tasks WHERE $2 IN ('complete', 'cancelled', 'resolved_manually') AND state = $2
) AS t
JOIN tasker_named_tasks k USING (named_task_id)
JOIN tasker_task_namespaces n USING (task_namespace_id)
CROSS JOIN LATERAL (
  SELECT jsonb_object_agg(c.state, c.steps - c.retired) FILTER (WHERE c.steps > c.retired) AS steps_by_state,
         sum(c.attempts)::bigint AS attempts, sum(c.retired)::int AS retired
  FROM (
    SELECT p.state, sum(p.steps)::bigint AS steps, sum(p.retired)::bigint AS retired, sum(p.attempts) AS attempts
    FROM (
      SELECT w.state, 1 AS steps, 0 AS retired, w.attempts
      FROM tasker_workflow_steps w
      WHERE w.workflow_step_id >= (t.task_id << 20) AND w.workflow_step_id < ((t.task_id + 1) << 20)
      UNION ALL
      SELECT w.state, 0, 1, 0
      FROM tasker_added_steps a
      JOIN tasker_workflow_steps w USING (workflow_step_id)
      WHERE a.retired AND a.workflow_step_id >= (t.task_id << 20) AND a.workflow_step_id < ((t.task_id + 1) << 20)
    ) AS p
    GROUP BY p.state
  ) AS c
) AS s
WHERE ($1::bigint IS NULL OR t.task_id = $1)
  AND ($3::text IS NULL OR k.name = $3)
  AND ($4::text IS NULL OR n.name = $4)
  AND t.task_id < $5::bigint
  AND ($7::text IS NULL OR k.version = $7)
  AND (NOT $8 OR t.finished_at IS NULL)
  AND ($9::timestamptz IS NULL OR t.requested_at < $9)
  AND ($10::text IS NULL OR t.tags @> $10::text::jsonb)
ORDER BY t.task_id DESC
LIMIT $6
