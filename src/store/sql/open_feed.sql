-- Caller: the opening of a feed. Index: primary key. The consumer goes on where it was, or begins at $2; who read for it
-- before may not move it any more.
INSERT INTO tasker_feeds AS f (consumer, position)
VALUES ($1, $2)
ON CONFLICT (consumer) DO UPDATE SET reader = f.reader + 1
RETURNING position, reader, missed
