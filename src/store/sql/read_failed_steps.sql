-- Caller: retry, under the lock of the task, after those that are claimable were kept from being claimed; a step whose workflow
-- failed. Index: primary key (a task's steps lie side by side). Items whose map step was skipped or resolved meanwhile are left.
SELECT workflow_step_id, state AS "state: StepState", open_parents, failed_parents, skipped_parents, attempts, failures, crashes,
       worker_id, statement_timestamp() AS "now!"
FROM tasker_workflow_steps s
WHERE workflow_step_id >= ($1::bigint << 20) AND workflow_step_id < (($1::bigint + 1) << 20)
  AND state IN ('error', 'blocked', 'waiting_for_retry')
  AND NOT EXISTS (
    SELECT FROM tasker_added_steps a JOIN tasker_workflow_steps m ON m.workflow_step_id = a.added_by_step_id
    WHERE a.workflow_step_id = s.workflow_step_id AND a.item_index IS NOT NULL AND m.state IN ('skipped', 'resolved_manually')
  )
ORDER BY workflow_step_id
