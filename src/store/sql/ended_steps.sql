-- Caller: fork, under the lock of the task. Index: primary key (a task's steps lie side by side).
SELECT workflow_step_id, state AS "state: StepState", results::text AS results
FROM tasker_workflow_steps
WHERE workflow_step_id >= ($1::bigint << 20) AND workflow_step_id < (($1::bigint + 1) << 20)
  AND state IN ('complete', 'resolved_manually', 'skipped')
ORDER BY workflow_step_id
