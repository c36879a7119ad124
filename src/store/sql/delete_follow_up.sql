-- Caller: whoever did it. Index: primary key.
DELETE FROM tasker_follow_ups WHERE follow_up_id = $1
