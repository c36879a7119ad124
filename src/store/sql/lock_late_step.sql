-- Caller: a worker whose heartbeat saw a deadline that has passed. Index: tasker_step_deadlines_due. Locks: the deadline, unless
-- another worker holds it. $1: tasks that somebody else holds.
SELECT workflow_step_id AS "workflow_step_id: StepId", deadline_at
FROM tasker_step_deadlines
WHERE deadline_at <= statement_timestamp() AND (workflow_step_id >> 20) <> ALL ($1::bigint[])
ORDER BY deadline_at
LIMIT 1
FOR UPDATE SKIP LOCKED
