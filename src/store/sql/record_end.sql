-- Caller: a transaction of the application's, right before its commit, under the lock of the task: who ends the attempt instead
-- looks for this row under the same lock. Indexes: primary keys. Locks: the row of the step, so that a transaction whose snapshot is
-- older than what became of the step fails. No row is written where the claim is not current. $1 to $3: the claim.
INSERT INTO tasker_recorded_ends (workflow_step_id, attempt, worker_id, outcome)
SELECT held.workflow_step_id, held.attempts, held.worker_id, $4::text::json
FROM (
  SELECT s.workflow_step_id, s.attempts, s.worker_id
  FROM tasker_workflow_steps s
  WHERE s.workflow_step_id = $1 AND s.state = 'in_progress' AND s.attempts = $2 AND s.worker_id = $3
  FOR NO KEY UPDATE
) AS held
