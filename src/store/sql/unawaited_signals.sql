-- Caller: explain. Indexes: primary key, tasker_step_waits_signal. The signals that were sent to the task, that no handler was
-- given and that no step waited for last; the last of each name. $2: how names begin that are the engine's own.
SELECT DISTINCT ON (s.name) s.name, s.actor, s.created_at
FROM tasker_signals s
WHERE s.task_id = $1 AND NOT starts_with(s.name, $2)
  AND NOT EXISTS (
    SELECT FROM tasker_signals given
    WHERE given.task_id = $1 AND given.name = s.name AND given.received_at IS NOT NULL)
  AND NOT EXISTS (
    SELECT FROM tasker_step_waits w
    WHERE w.workflow_step_id >> 20 = $1 AND w.signal = s.name)
ORDER BY s.name, s.signal_id DESC
