-- Caller: submit. All tasks of one template, with their steps and edges, in one statement. A step's
-- id is its task's id and its position (docs/decisions/0002-step-ids.md).
WITH task AS (
  INSERT INTO tasker_tasks
    (named_task_id, total_steps, runnable_steps, initiator, source_system, reason, tags, context, parent_step_id,
     has_budget, has_deadline, priority)
  SELECT $1, $2, $3, $4, $5, $6, $7::text::jsonb, c.context::jsonb, $18::bigint, $19, $20, $21::smallint
  FROM unnest($8::text[]) WITH ORDINALITY AS c (context, position)
  ORDER BY c.position
  RETURNING task_id
), step AS (
  INSERT INTO tasker_workflow_steps (workflow_step_id, task_id, named_step_id, state, open_parents)
  SELECT (task.task_id << 20) + s.step_index, task.task_id, s.named_step_id, s.state, s.open_parents
  FROM task
  CROSS JOIN unnest($9::int[], $10::int[], $11::tasker_step_state[], $12::int[])
    AS s (step_index, named_step_id, state, open_parents)
), edge AS (
  INSERT INTO tasker_workflow_step_edges (from_step_id, to_step_id)
  SELECT (task.task_id << 20) + e.from_index, (task.task_id << 20) + e.to_index
  FROM task
  CROSS JOIN unnest($13::int[], $14::int[]) AS e (from_index, to_index)
), ready AS (
  INSERT INTO tasker_ready_steps (workflow_step_id, queue, available_at, priority)
  SELECT (task.task_id << 20) + r.step_index, r.queue, statement_timestamp() + make_interval(secs => coalesce(r.delay_s, 0)),
         $21::smallint
  FROM task
  CROSS JOIN unnest($15::int[], $16::text[], $17::float8[]) AS r (step_index, queue, delay_s)
)
SELECT task_id FROM task ORDER BY task_id
