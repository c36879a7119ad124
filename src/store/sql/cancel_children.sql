-- Caller: steps that end without their handlers, after the decision was written, under the lock of their task, which whoever makes
-- a child holds too. Index: UNIQUE (parent_step_id, name, generation).
INSERT INTO tasker_follow_ups (task_id, kind)
SELECT c.task_id, 'cancel'
FROM unnest($1::bigint[]) AS ended (step)
JOIN tasker_child_tasks c ON c.parent_step_id = ended.step
JOIN tasker_tasks t ON t.task_id = c.task_id
WHERE t.finished_at IS NULL AND NOT c.left_alone
