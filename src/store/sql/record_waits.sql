-- Caller: ends of claims whose handlers wait, after the decision was written. Index: primary key. Data that a handler does
-- not replace is kept.
INSERT INTO tasker_step_waits AS w (workflow_step_id, waits, signal, after_signal_id, deadline, data)
SELECT wait.step, 1, wait.signal, coalesce(wait.after, 0), wait.deadline, wait.data::json
FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::timestamptz[], $5::text[])
  AS wait (step, signal, after, deadline, data)
ORDER BY wait.step
ON CONFLICT (workflow_step_id) DO UPDATE
SET waits = w.waits + 1, signal = excluded.signal, after_signal_id = excluded.after_signal_id,
    deadline = excluded.deadline, data = coalesce(excluded.data, w.data)
