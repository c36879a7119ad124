-- Caller: retry, under the lock of the task, after those that are claimable were kept from being claimed; a step whose workflow
-- failed. Index: primary key (a task's steps lie side by side).
SELECT workflow_step_id, state AS "state: StepState", open_parents, failed_parents, skipped_parents, attempts, failures, crashes,
       worker_id, statement_timestamp() AS "now!"
FROM tasker_workflow_steps
WHERE workflow_step_id >= ($1::bigint << 20) AND workflow_step_id < (($1::bigint + 1) << 20)
  AND state IN ('error', 'blocked', 'waiting_for_retry')
ORDER BY workflow_step_id
