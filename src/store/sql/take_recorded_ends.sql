-- Caller: ends of claims that a transaction of the application's may have recorded, under the locks of the tasks. Index: primary
-- key. $1 to $3: the claims; a row of another attempt is none of theirs.
DELETE FROM tasker_recorded_ends r
USING unnest($1::bigint[], $2::int[], $3::bigint[]) AS ended (id, attempt, worker)
WHERE r.workflow_step_id BETWEEN ended.id AND ended.id AND (r.attempt, r.worker_id) = (ended.attempt, ended.worker)
RETURNING r.workflow_step_id AS "step: StepId", r.attempt, r.worker_id AS "worker: WorkerId", r.outcome::text AS "outcome!"
