-- Caller: the feed, before events are given out. Index: primary key.
SELECT position, reader, missed FROM tasker_feeds WHERE consumer = $1
