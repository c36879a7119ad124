-- Caller: forgetting a consumer. Index: primary key.
DELETE FROM tasker_feeds WHERE consumer = $1
