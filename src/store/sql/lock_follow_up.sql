-- Caller: a worker or client that does what ends of tasks left to be done. Index: primary key. Locks: the follow-up, unless somebody
-- else does it. $1: that after which it looks.
SELECT follow_up_id AS "id: FollowUpId", task_id AS "task: TaskId", kind AS "kind: FollowUpKind"
FROM tasker_follow_ups
WHERE follow_up_id > $1
ORDER BY follow_up_id
LIMIT 1
FOR UPDATE SKIP LOCKED
