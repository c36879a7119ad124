-- Caller: the feed, after events were taken. Index: primary key. Moves the consumer to $3, unless somebody else reads
-- for it by now.
UPDATE tasker_feeds
SET position = $3, moved_at = statement_timestamp()
WHERE consumer = $1 AND reader = $2 AND position <= $3
RETURNING missed
