-- Caller: ends of claims whose handlers wait for a signal, under the locks of the tasks: those whose signal was sent before.
-- Index: primary key.
SELECT awaited.step AS "step!: StepId"
FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS awaited (step, name, after)
WHERE EXISTS (
  SELECT FROM tasker_signals s
  WHERE s.task_id = awaited.step >> 20 AND s.name = awaited.name AND s.signal_id > coalesce(awaited.after, 0))
