-- Caller: doctor. Recomputes every counter and state from scratch; reads whole tables. What is left of
-- pruned tasks is on its way out and not looked at.
WITH step AS (
  SELECT s.*, r.workflow_step_id IS NOT NULL AS in_ready
  FROM tasker_workflow_steps s
  LEFT JOIN tasker_ready_steps r USING (workflow_step_id)
  WHERE NOT EXISTS (SELECT FROM tasker_pruned_tasks p WHERE p.task_id = s.task_id)
), edge AS (
  SELECT * FROM tasker_workflow_step_edges e
  WHERE NOT EXISTS (SELECT FROM tasker_pruned_tasks p WHERE p.task_id = e.from_step_id >> 20)
), decision AS (
  SELECT DISTINCT ON (t.workflow_step_id) t.workflow_step_id, t.detail -> 'took' AS took
  FROM tasker_workflow_step_transitions t
  JOIN tasker_workflow_steps p USING (workflow_step_id)
  WHERE t.to_state IN ('complete', 'resolved_manually') AND p.state = t.to_state AND t.detail ? 'took'
  ORDER BY t.workflow_step_id, t.workflow_step_transition_id DESC
), not_taken AS (
  SELECT e.from_step_id, e.to_step_id
  FROM decision d
  JOIN edge e ON e.from_step_id = d.workflow_step_id
  JOIN tasker_workflow_steps c ON c.workflow_step_id = e.to_step_id
  JOIN tasker_named_steps n USING (named_step_id)
  WHERE NOT d.took ? n.name
), parents AS (
  SELECT e.to_step_id,
         count(*) AS counted,
         count(*) FILTER (WHERE p.state IS NULL OR p.state NOT IN ('complete', 'resolved_manually')
                             OR u.to_step_id IS NOT NULL) AS incomplete,
         count(*) FILTER (WHERE p.state IS NULL
                             OR p.state NOT IN ('complete', 'resolved_manually', 'skipped', 'error')) AS open,
         count(*) FILTER (WHERE p.state = 'error') AS failed,
         count(*) FILTER (WHERE p.state = 'skipped' OR u.to_step_id IS NOT NULL) AS skipped
  FROM edge e
  LEFT JOIN tasker_workflow_steps p ON p.workflow_step_id = e.from_step_id
  LEFT JOIN not_taken u ON (u.from_step_id, u.to_step_id) = (e.from_step_id, e.to_step_id)
  LEFT JOIN tasker_parent_counts c ON c.workflow_step_id = e.to_step_id AND c.first_item_id IS NOT NULL
  WHERE c.workflow_step_id IS NULL OR e.from_step_id >= c.first_item_id AND e.from_step_id < c.first_item_id + c.parents
  GROUP BY e.to_step_id
), map AS (
  SELECT c.workflow_step_id, c.first_item_id, c.parents AS items, c.parents - s.open_parents AS ended,
         s.state, (d.step -> 'map' ->> 'max_parallel')::int AS max_parallel,
         CASE d.step -> 'map' ->> 'tolerate' WHEN 'all' THEN c.parents
                                             ELSE (d.step -> 'map' ->> 'tolerate')::int END AS tolerate
  FROM tasker_parent_counts c
  JOIN step s USING (workflow_step_id)
  JOIN tasker_tasks t USING (task_id)
  JOIN tasker_named_tasks n USING (named_task_id)
  CROSS JOIN LATERAL (SELECT n.configuration -> 'step_templates' -> (c.workflow_step_id & 1048575)::int AS step) AS d
  WHERE c.first_item_id IS NOT NULL
), turn AS (
  SELECT a.workflow_step_id
  FROM map m
  JOIN tasker_added_steps a ON a.workflow_step_id >= m.first_item_id AND a.workflow_step_id < m.first_item_id + m.items
  WHERE m.state = 'pending' AND a.item_index >= m.max_parallel + m.ended
), recount AS (
  SELECT s.task_id,
         count(*) AS total,
         count(*) FILTER (WHERE s.state IN ('enqueued', 'in_progress')) AS runnable,
         count(*) FILTER (WHERE s.state IN ('waiting_for_retry', 'waiting')) AS waiting,
         count(*) FILTER (WHERE s.state = 'blocked') AS blocked,
         coalesce(sum(p.failed) FILTER (WHERE s.state = 'pending'), 0)
           + count(*) FILTER (WHERE s.state = 'error' AND NOT EXISTS (
               SELECT FROM tasker_workflow_step_edges e WHERE e.from_step_id = s.workflow_step_id)) AS failures,
         count(*) FILTER (WHERE s.state NOT IN ('complete', 'resolved_manually', 'skipped', 'error')) AS unfinished,
         bool_or(s.attempts > 0) AS begun
  FROM step s LEFT JOIN parents p ON p.to_step_id = s.workflow_step_id
  GROUP BY s.task_id
), tolerant AS (
  SELECT t.named_task_id, s.position - 1 AS step_index
  FROM tasker_named_tasks t
  CROSS JOIN LATERAL json_array_elements(t.configuration -> 'step_templates') WITH ORDINALITY AS s (step, position)
  WHERE s.step ->> 'join' <> 'all_complete'
), step_chain AS (
  SELECT workflow_step_id, from_state, to_state,
         lag(to_state) OVER chain AS previous,
         lead(to_state) OVER chain IS NULL AS last
  FROM tasker_workflow_step_transitions t
  WHERE NOT EXISTS (SELECT FROM tasker_pruned_tasks p WHERE p.task_id = t.workflow_step_id >> 20)
  WINDOW chain AS (PARTITION BY workflow_step_id ORDER BY workflow_step_transition_id)
), task_chain AS (
  SELECT task_id, from_state, to_state,
         lag(to_state) OVER chain AS previous,
         lead(to_state) OVER chain IS NULL AS last
  FROM tasker_task_transitions t
  WHERE NOT EXISTS (SELECT FROM tasker_pruned_tasks p WHERE p.task_id = t.task_id)
  WINDOW chain AS (PARTITION BY task_id ORDER BY task_transition_id)
), attempt AS (
  SELECT workflow_step_id, count(*) AS ended, max(attempt) AS newest,
         count(*) FILTER (WHERE outcome = 'succeeded') AS succeeded
  FROM tasker_attempts
  GROUP BY workflow_step_id
), unexecuted AS (
  SELECT workflow_step_id, count(*) FILTER (WHERE from_state = 'complete') AS left_complete,
         count(*) FILTER (WHERE event IN ('copied', 'items_done')) AS completed
  FROM tasker_workflow_step_transitions
  WHERE from_state = 'complete' OR event IN ('copied', 'items_done')
  GROUP BY workflow_step_id
), listed AS (
  SELECT b.worker_id, step.id
  FROM tasker_claim_batches b
  CROSS JOIN LATERAL unnest(b.workflow_step_ids) AS step (id)
), finding AS (
  SELECT 'task_counters' AS name, t.task_id AS id
  FROM tasker_tasks t LEFT JOIN recount r USING (task_id)
  WHERE (t.total_steps, t.runnable_steps, t.waiting_steps, t.blocked_steps, t.open_failures)
        IS DISTINCT FROM (r.total::int, r.runnable::int, r.waiting::int, r.blocked::int, r.failures::int)
  UNION ALL
  SELECT 'task_states', t.task_id
  FROM tasker_tasks t JOIN recount r USING (task_id)
  WHERE NOT CASE t.state
    WHEN 'pending' THEN NOT r.begun
    WHEN 'in_progress' THEN r.runnable > 0
    WHEN 'waiting' THEN r.runnable = 0 AND r.waiting > 0
    WHEN 'blocked' THEN r.runnable + r.waiting = 0 AND r.blocked > 0
    WHEN 'error' THEN r.runnable + r.waiting + r.blocked = 0 AND r.failures > 0
    WHEN 'complete' THEN r.unfinished = 0 AND r.failures = 0
    WHEN 'cancelled' THEN r.runnable + r.waiting + r.blocked = 0
    ELSE true
  END
  UNION ALL
  SELECT 'open_parents', s.workflow_step_id
  FROM step s LEFT JOIN parents p ON p.to_step_id = s.workflow_step_id LEFT JOIN map m ON m.workflow_step_id = s.workflow_step_id
  WHERE (s.state = 'pending' OR s.state = 'error' AND m.workflow_step_id IS NOT NULL)
    AND NOT EXISTS (SELECT FROM turn WHERE turn.workflow_step_id = s.workflow_step_id)
    AND (s.open_parents, s.failed_parents, s.skipped_parents)
        IS DISTINCT FROM (coalesce(p.open, 0)::int, coalesce(p.failed, 0)::int, coalesce(p.skipped, 0)::int)
  UNION ALL
  SELECT 'map_steps', m.workflow_step_id
  FROM map m JOIN parents p ON p.to_step_id = m.workflow_step_id
  WHERE m.state = 'pending' AND p.open = 0
     OR m.state = 'error' AND (p.open > 0 OR p.failed <= m.tolerate)
  UNION ALL
  SELECT 'started_before_parents', s.workflow_step_id
  FROM step s JOIN parents p ON p.to_step_id = s.workflow_step_id
  WHERE p.incomplete > 0 AND s.state NOT IN ('pending', 'cancelled', 'skipped', 'resolved_manually')
    AND NOT EXISTS (
      SELECT FROM tasker_tasks t JOIN tolerant USING (named_task_id)
      WHERE t.task_id = s.task_id AND tolerant.step_index = coalesce(
        (SELECT a.step_index FROM tasker_added_steps a WHERE a.workflow_step_id = s.workflow_step_id),
        s.workflow_step_id & 1048575))
    AND NOT EXISTS (SELECT FROM map WHERE map.workflow_step_id = s.workflow_step_id)
  UNION ALL
  SELECT 'ready_steps', s.workflow_step_id
  FROM step s
  WHERE s.in_ready <> (s.state IN ('enqueued', 'waiting_for_retry', 'waiting'))
  UNION ALL
  SELECT 'waits', s.workflow_step_id
  FROM step s LEFT JOIN tasker_step_waits w USING (workflow_step_id)
  WHERE s.state = 'waiting' AND coalesce(w.waits, 0) = 0
  UNION ALL
  SELECT 'missed_signals', s.workflow_step_id
  FROM step s JOIN tasker_step_waits w USING (workflow_step_id) JOIN tasker_ready_steps r USING (workflow_step_id)
  WHERE s.state = 'waiting' AND r.available_at > statement_timestamp()
    AND EXISTS (
      SELECT FROM tasker_signals g
      WHERE g.task_id = s.task_id AND g.name = w.signal AND g.signal_id > w.after_signal_id)
  UNION ALL
  SELECT 'ready_steps', r.workflow_step_id
  FROM tasker_ready_steps r LEFT JOIN tasker_workflow_steps s USING (workflow_step_id)
  WHERE s.workflow_step_id IS NULL
  UNION ALL
  SELECT 'ready_steps', r.workflow_step_id
  FROM tasker_ready_steps r JOIN tasker_tasks t ON t.task_id = r.workflow_step_id >> 20
  WHERE (r.queue IS NULL) <> (t.state = 'paused') OR r.priority <> t.priority
  UNION ALL
  SELECT 'parent_counts', s.workflow_step_id
  FROM tasker_parent_counts c
  JOIN step s USING (workflow_step_id)
  LEFT JOIN parents p ON p.to_step_id = s.workflow_step_id
  WHERE c.parents <> coalesce(p.counted, 0)
  UNION ALL
  SELECT 'added_steps', a.workflow_step_id
  FROM tasker_added_steps a LEFT JOIN tasker_workflow_steps s USING (workflow_step_id)
  WHERE s.workflow_step_id IS NULL
    AND NOT EXISTS (SELECT FROM tasker_pruned_tasks p WHERE p.task_id = a.workflow_step_id >> 20)
  UNION ALL
  SELECT 'claims_without_worker', s.workflow_step_id
  FROM step s LEFT JOIN tasker_workers w USING (worker_id)
  WHERE s.worker_id IS NOT NULL AND coalesce(w.state NOT IN ('running', 'draining'), true)
  UNION ALL
  SELECT 'claims_without_batch', s.workflow_step_id
  FROM step s
  WHERE s.worker_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM listed l WHERE (l.worker_id, l.id) = (s.worker_id, s.workflow_step_id))
  UNION ALL
  SELECT 'budgets', t.task_id
  FROM tasker_tasks t
  LEFT JOIN tasker_task_budgets b USING (task_id)
  LEFT JOIN (SELECT task_id, sum(attempts) AS attempts FROM step GROUP BY task_id) AS begun USING (task_id)
  WHERE t.has_budget <> (b.task_id IS NOT NULL) OR b.attempts <> begun.attempts
     OR b.reserved > 0 AND NOT EXISTS (SELECT FROM step s WHERE s.task_id = t.task_id AND s.state = 'in_progress') AND t.state <> 'cancelled'
  UNION ALL
  SELECT 'deadlines', d.task_id
  FROM tasker_task_deadlines d JOIN tasker_tasks t USING (task_id)
  WHERE NOT t.has_deadline
  UNION ALL
  SELECT 'recorded_ends', r.workflow_step_id
  FROM tasker_recorded_ends r LEFT JOIN tasker_workflow_steps s USING (workflow_step_id)
  WHERE (s.attempts, s.worker_id) IS DISTINCT FROM (r.attempt, r.worker_id)
  UNION ALL
  SELECT 'identities_without_task', i.task_id
  FROM tasker_task_identities i LEFT JOIN tasker_tasks t USING (task_id)
  WHERE t.task_id IS NULL
  UNION ALL
  SELECT 'steps_without_task', s.workflow_step_id
  FROM step s LEFT JOIN tasker_tasks t USING (task_id)
  WHERE t.task_id IS NULL
  UNION ALL
  SELECT 'edges_without_steps', e.from_step_id
  FROM edge e
  WHERE NOT EXISTS (SELECT FROM tasker_workflow_steps s WHERE s.workflow_step_id = e.from_step_id)
     OR NOT EXISTS (SELECT FROM tasker_workflow_steps s WHERE s.workflow_step_id = e.to_step_id)
  UNION ALL
  SELECT 'step_history', c.workflow_step_id
  FROM step_chain c LEFT JOIN tasker_workflow_steps s USING (workflow_step_id)
  WHERE c.previous IS DISTINCT FROM c.from_state AND c.previous IS NOT NULL
     OR c.previous IS NULL AND c.from_state NOT IN ('pending', 'enqueued')
     OR c.last AND c.to_state IS DISTINCT FROM s.state
  UNION ALL
  SELECT 'step_history', s.workflow_step_id
  FROM step s
  WHERE s.state NOT IN ('pending', 'enqueued')
    AND NOT EXISTS (SELECT FROM step_chain c WHERE c.workflow_step_id = s.workflow_step_id)
  UNION ALL
  SELECT 'task_history', c.task_id
  FROM task_chain c LEFT JOIN tasker_tasks t USING (task_id)
  WHERE c.previous IS DISTINCT FROM c.from_state AND c.previous IS NOT NULL
     OR c.previous IS NULL AND c.from_state <> 'pending'
     OR c.last AND c.to_state IS DISTINCT FROM t.state
  UNION ALL
  SELECT 'task_history', t.task_id
  FROM tasker_tasks t
  WHERE t.state <> 'pending' AND NOT EXISTS (SELECT FROM task_chain c WHERE c.task_id = t.task_id)
  UNION ALL
  SELECT 'attempts', s.workflow_step_id
  FROM step s
  LEFT JOIN attempt a USING (workflow_step_id)
  LEFT JOIN unexecuted n USING (workflow_step_id)
  WHERE coalesce(a.ended, 0) <> s.attempts - (s.state = 'in_progress')::int
     OR coalesce(a.newest, 0) <> coalesce(a.ended, 0)
     OR coalesce(a.succeeded, 0) + coalesce(n.completed, 0) - coalesce(n.left_complete, 0) <> (s.state = 'complete')::int
)
SELECT name AS "name!", count(*) AS "found!", (array_agg(id ORDER BY id))[1:5] AS "ids!"
FROM finding
GROUP BY name
ORDER BY name
