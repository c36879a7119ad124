-- Caller: explain. Indexes: primary keys.
SELECT asked.id AS "workflow_step_id!", w.cursor::text AS cursor, w.checkpoint_at AS "checkpoint_at?", w.data::text AS data,
       d.deadline_at AS "deadline_at?"
FROM unnest($1::bigint[]) AS asked (id)
LEFT JOIN tasker_step_waits w ON w.workflow_step_id = asked.id
LEFT JOIN tasker_step_deadlines d ON d.workflow_step_id = asked.id
WHERE num_nonnulls(w.checkpoint_at, w.data, d.deadline_at) > 0
