-- Caller: explain. Index: primary key.
SELECT a.workflow_step_id AS "workflow_step_id!", a.attempt AS "attempt!",
       a.outcome AS "outcome!: AttemptOutcome", a.worker_id AS "worker_id!",
       w.host AS "host?", w.pid AS "pid?", a.claimed_at AS "claimed_at!",
       a.finished_at AS "finished_at!", a.execution_us, a.error::text AS error
FROM tasker_attempts a
LEFT JOIN tasker_workers w USING (worker_id)
WHERE a.workflow_step_id = ANY ($1::bigint[])
ORDER BY a.workflow_step_id, a.attempt
