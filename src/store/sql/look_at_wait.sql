-- Caller: a handler that waits, or asks what it waited for. Indexes: primary keys. $2: the name of a signal, of which the
-- first one after $3 is looked for. Locks: its row, when it is given to a handler first.
WITH found AS (
  SELECT * FROM tasker_signals
  WHERE task_id = $1::bigint >> 20 AND name = $2::text AND signal_id > $3::bigint
  ORDER BY signal_id
  LIMIT 1
), received AS (
  UPDATE tasker_signals
  SET received_at = statement_timestamp()
  WHERE task_id = $1 >> 20 AND name = $2 AND signal_id = (SELECT signal_id FROM found) AND received_at IS NULL
)
SELECT statement_timestamp() AS "now!", w.waits AS "waits?", w.data::text AS data, w.cursor::text AS cursor, w.deadline AS "deadline?",
       coalesce(w.deadline <= statement_timestamp(), false) AS "over!",
       coalesce((w.signal, w.after_signal_id) IS NOT DISTINCT FROM ($2::text, $3::bigint), false) AS "same!",
       s.signal_id AS "signal_id?: SignalId", s.payload::text AS payload, s.actor AS actor, s.created_at AS "sent_at?"
FROM (SELECT $1::bigint AS step) AS one
LEFT JOIN tasker_step_waits w ON w.workflow_step_id = one.step
LEFT JOIN found s ON true
