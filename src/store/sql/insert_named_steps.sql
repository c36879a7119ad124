-- Caller: registration.
INSERT INTO tasker_named_steps (named_task_id, step_index, name, queue)
SELECT $1, s.step_index, s.name, s.queue
FROM unnest($2::int[], $3::text[], $4::text[]) AS s (step_index, name, queue)
ORDER BY s.step_index
