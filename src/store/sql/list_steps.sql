-- Caller: result and explain. Indexes: primary keys. The steps from each of $1 to each of $2: those of a task without the items of
-- its map steps.
SELECT s.workflow_step_id, s.state AS "state: StepState", s.attempts, s.failures, s.crashes,
       s.worker_id, s.claimed_at, s.results::text AS results, r.available_at AS "available_at?", r.queue AS "queue?",
       a.error::text AS error, a.execution_us AS "execution_us?",
       a.claimed_at AS "attempt_claimed_at?", a.finished_at AS "attempt_finished_at?", g.detail::text AS given_up
FROM unnest($1::bigint[], $2::bigint[]) AS part (first, last)
JOIN tasker_workflow_steps s ON s.workflow_step_id BETWEEN part.first AND part.last
LEFT JOIN tasker_ready_steps r ON r.workflow_step_id = s.workflow_step_id
LEFT JOIN LATERAL (
  SELECT * FROM tasker_attempts a
  WHERE a.workflow_step_id = s.workflow_step_id
  ORDER BY a.attempt DESC
  LIMIT 1
) AS a ON true
LEFT JOIN LATERAL (
  SELECT t.detail
  FROM tasker_workflow_step_transitions t
  WHERE t.workflow_step_id = s.workflow_step_id AND t.event = 'item_given_up' AND s.state = 'error' AND s.attempts = 0
  ORDER BY t.workflow_step_transition_id DESC
  LIMIT 1
) AS g ON true
ORDER BY s.workflow_step_id
