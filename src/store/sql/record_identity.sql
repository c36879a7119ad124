-- Caller: submit with an identity, after it has made the task. Index: primary key. Locks: the identities, in their order, each
-- until the end of a transaction that records it too. One that has expired is taken over.
INSERT INTO tasker_task_identities AS i (identity, task_id, expires_at)
SELECT recorded.identity, $2, statement_timestamp() + make_interval(secs => $3)
FROM unnest($1::bytea[]) AS recorded (identity)
ORDER BY recorded.identity
ON CONFLICT (identity) DO UPDATE SET task_id = excluded.task_id, expires_at = excluded.expires_at
WHERE i.expires_at <= statement_timestamp()
