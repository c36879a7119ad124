-- Caller: signals, under the lock of the task. Indexes: primary key, tasker_signals_key. One that was sent before with the
-- same key is not sent again.
WITH known AS (
  SELECT signal_id FROM tasker_signals WHERE task_id = $1 AND idempotency_key = $5
), sent AS (
  INSERT INTO tasker_signals (task_id, name, payload, actor, idempotency_key, created_at)
  SELECT $1, $2, $3::text::json, $4, $5, statement_timestamp()
  WHERE NOT EXISTS (SELECT FROM known)
  RETURNING signal_id
)
SELECT signal_id AS "signal_id!: SignalId", true AS "existing!" FROM known
UNION ALL
SELECT signal_id, false FROM sent
