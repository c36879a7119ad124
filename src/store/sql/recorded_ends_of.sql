-- Caller: whoever is about to end attempts of a task otherwise, under its lock. Index: primary key.
SELECT workflow_step_id AS "step: StepId", attempt, worker_id AS "worker: WorkerId"
FROM tasker_recorded_ends
WHERE workflow_step_id >= ($1::bigint << 20) AND workflow_step_id < (($1::bigint + 1) << 20)
ORDER BY workflow_step_id
