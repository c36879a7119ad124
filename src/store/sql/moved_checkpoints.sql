-- Caller: the rescue of claims, under the locks of the tasks. Index: primary key.
SELECT w.workflow_step_id AS "workflow_step_id: StepId"
FROM unnest($1::bigint[], $2::int[]) AS ended (id, attempt)
JOIN tasker_step_waits w ON w.workflow_step_id BETWEEN ended.id AND ended.id AND w.moved_in = ended.attempt
