-- Caller: a handler that makes a checkpoint, in a transaction of its own. Indexes: primary keys. Locks: the row of the step,
-- so that nobody ends the attempt before the checkpoint is there; who has ended it before is waited for, and nothing is
-- written then. Data that a handler does not replace are kept. A statement that comes late, after it was sent again and later checkpoints
-- were made, replaces none of them: $7 grows with each.
WITH held AS (
  SELECT s.workflow_step_id
  FROM tasker_workflow_steps s
  WHERE s.workflow_step_id = $1 AND s.state = 'in_progress' AND s.attempts = $2 AND s.worker_id = $3
  FOR NO KEY UPDATE
)
INSERT INTO tasker_step_waits AS w (workflow_step_id, waits, after_signal_id, cursor, data, moved_in, checkpoint_at, checkpoint_number)
SELECT held.workflow_step_id, 0, 0, $4::text::json, $5::text::json, CASE WHEN $6::boolean THEN $2::int END,
       statement_timestamp(), $7
FROM held
ON CONFLICT (workflow_step_id) DO UPDATE
SET cursor = excluded.cursor, data = coalesce(excluded.data, w.data), moved_in = coalesce(excluded.moved_in, w.moved_in),
    checkpoint_at = excluded.checkpoint_at, checkpoint_number = excluded.checkpoint_number
WHERE w.checkpoint_number IS NULL OR w.checkpoint_number <= excluded.checkpoint_number
