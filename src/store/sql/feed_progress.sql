-- Caller: the feed. `last_number`: the highest that was ever taken. `oldest`: every transaction with a lower id has ended,
-- and what it wrote is there for statements that follow.
SELECT (CASE WHEN s.is_called THEN s.last_value ELSE 0 END) AS "last_number!",
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS "oldest!"
FROM tasker_transition_ids s
