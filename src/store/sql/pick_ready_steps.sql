-- Caller: claims. Index: tasker_ready_steps_order, then primary keys. Locks: the rows of the hot
-- table that nobody holds, so that workers never wait for one another. $3 to $5: the place in the order
-- after which is looked, so that rows of old claims that a vacuum could not remove yet are passed over.
-- $6: tasks whose steps are left where they are.
-- Each priority is looked through by itself, since steps that are not due yet stand between those that are. The priorities
-- come one after another, the lowest first, and no further one is looked for, and no step of it locked, once there are as
-- many steps as are wanted. That of most tasks, 0, is looked through without asking whether it has steps: the question would
-- pass over rows of old claims once more. OFFSET keeps what finds a priority from being executed twice, for its value and for
-- the condition.
-- BETWEEN stands for equality: see docs/decisions/0004-plans.md.
WITH RECURSIVE level (priority, available_at, workflow_step_id) AS (
  SELECT $3::smallint, $4::timestamptz, $5::bigint
  UNION ALL
  SELECT further.priority, '-infinity'::timestamptz, 0::bigint
  FROM level
  CROSS JOIN LATERAL (
    SELECT coalesce((
      SELECT first.priority
      FROM unnest($1::text[]) AS served (queue)
      CROSS JOIN LATERAL (
        SELECT r.priority
        FROM tasker_ready_steps r
        WHERE r.queue = served.queue AND r.priority > level.priority
          AND r.priority <= CASE WHEN level.priority < 0 THEN -1 ELSE 32767 END
        ORDER BY r.priority
        LIMIT 1
      ) AS first
      ORDER BY first.priority
      LIMIT 1
    ), CASE WHEN level.priority < 0 THEN 0::smallint END) AS priority
    OFFSET 0
  ) AS further
  WHERE further.priority IS NOT NULL
)
SELECT picked.workflow_step_id AS "workflow_step_id!", s.state AS "state!: StepState",
       s.open_parents AS "open_parents!", s.failed_parents AS "failed_parents!",
       s.skipped_parents AS "skipped_parents!", s.attempts AS "attempts!", s.failures AS "failures!",
       s.crashes AS "crashes!", s.worker_id, statement_timestamp() AS "now!",
       t.state AS "task_state!: TaskState", t.has_budget AS "has_budget!", t.has_deadline AS "has_deadline!",
       picked.priority AS "priority!", picked.available_at AS "available_at!"
FROM (
  SELECT level.priority, found.workflow_step_id, found.available_at
  FROM level
  CROSS JOIN LATERAL (
    SELECT due.workflow_step_id, due.available_at
    FROM unnest($1::text[]) AS served (queue)
    CROSS JOIN LATERAL (
      SELECT r.workflow_step_id, r.available_at
      FROM tasker_ready_steps r
      WHERE r.queue = served.queue AND r.priority = level.priority AND r.available_at <= statement_timestamp()
        AND (r.available_at, r.workflow_step_id + 0) > (level.available_at, level.workflow_step_id)
        AND (r.workflow_step_id >> 20) <> ALL ($6::bigint[])
      ORDER BY r.available_at, r.workflow_step_id + 0
      LIMIT $2
      FOR UPDATE SKIP LOCKED
    ) AS due
    ORDER BY due.available_at, due.workflow_step_id
    LIMIT $2
  ) AS found
  LIMIT $2
) AS picked
JOIN tasker_workflow_steps s ON s.workflow_step_id BETWEEN picked.workflow_step_id AND picked.workflow_step_id
JOIN tasker_tasks t ON t.task_id BETWEEN s.task_id AND s.task_id
ORDER BY picked.priority, picked.available_at, picked.workflow_step_id
