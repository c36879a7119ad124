-- Caller: submits, and decisions that make steps claimable, of steps whose attempts together have a limit. Index: primary key.
-- $2: seconds from $3, or from now.
INSERT INTO tasker_step_deadlines AS d (workflow_step_id, deadline_at)
SELECT ready.step, coalesce(ready.from_at, statement_timestamp()) + make_interval(secs => ready.seconds)
FROM unnest($1::bigint[], $2::float8[], $3::timestamptz[]) AS ready (step, seconds, from_at)
ORDER BY ready.step
ON CONFLICT (workflow_step_id) DO UPDATE SET deadline_at = excluded.deadline_at
