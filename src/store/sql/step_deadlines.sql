-- Caller: ends of claims of steps that failed and have a limit for all their attempts. Index: primary key.
SELECT workflow_step_id AS "workflow_step_id: StepId", deadline_at
FROM tasker_step_deadlines
WHERE workflow_step_id = ANY ($1::bigint[])
