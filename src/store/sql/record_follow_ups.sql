-- Caller: ends of tasks, after the decision was written.
INSERT INTO tasker_follow_ups (task_id, kind)
SELECT e.task_id, e.kind
FROM unnest($1::bigint[], $2::tasker_follow_up_kind[]) AS e (task_id, kind)
