-- Caller: the feed, in a transaction of its own that has no id before. Every transaction that got an id earlier has a
-- lower one. (The xmax of a snapshot would not do: transactions above it may be running.) The message has the commit wait
-- for the disk, so that no number is given out again after a crash that was taken before.
SELECT pg_current_xact_id()::text::bigint AS "horizon!", pg_logical_emit_message(true, 'tasker_feed', '')::text AS message
