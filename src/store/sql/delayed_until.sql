-- Caller: retry of an enqueued step, whose row it holds. Index: primary key. A step that its task's budget has postponed is
-- not delayed.
SELECT available_at
FROM tasker_ready_steps
WHERE workflow_step_id = $1 AND NOT postponed AND available_at > statement_timestamp()
