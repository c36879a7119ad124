-- Caller: claims of steps whose reserve attempts hold that run; the caller holds these rows. Index: primary key.
UPDATE tasker_ready_steps
SET available_at = statement_timestamp() + make_interval(secs => $2), postponed = true
WHERE workflow_step_id = ANY ($1::bigint[])
