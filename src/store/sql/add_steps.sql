-- Caller: decisions that add steps, under the lock of the task, before what else they change is written. Indexes: primary keys,
-- tasker_named_steps by template and position. Each step is in its first state, as after a submit. BETWEEN stands for
-- equality: see docs/decisions/0004-plans.md.
WITH new AS MATERIALIZED (
  SELECT * FROM unnest(
    $1::bigint[], $2::int[], $3::text[], $4::int[], $5::bigint[], $6::int[], $7::text[], $8::tasker_step_state[], $9::int[],
    $10::int[], $11::int[], $12::text[], $13::timestamptz[], $19::smallint[]
  ) AS n (id, step_index, name, item_index, by_step, by_attempt, inputs, state, open_parents, failed_parents,
          skipped_parents, queue, available_at, priority)
), prototype AS MATERIALIZED (
  SELECT kind.task_id, kind.step_index, s.named_step_id
  FROM (SELECT DISTINCT n.id >> 20 AS task_id, n.step_index FROM new n) AS kind
  JOIN tasker_tasks t ON t.task_id BETWEEN kind.task_id AND kind.task_id
  JOIN tasker_named_steps s ON s.named_task_id = t.named_task_id AND s.step_index = kind.step_index
), grown AS (
  UPDATE tasker_tasks t
  SET total_steps = t.total_steps + more.steps
  FROM (SELECT n.id >> 20 AS task_id, count(*)::int AS steps FROM new n GROUP BY 1) AS more
  WHERE t.task_id BETWEEN more.task_id AND more.task_id
), step AS (
  INSERT INTO tasker_workflow_steps
    (workflow_step_id, task_id, named_step_id, state, open_parents, failed_parents, skipped_parents)
  SELECT n.id, n.id >> 20, p.named_step_id, n.state, n.open_parents, n.failed_parents, n.skipped_parents
  FROM new n
  JOIN prototype p ON p.task_id = n.id >> 20 AND p.step_index = n.step_index
), added AS (
  INSERT INTO tasker_added_steps
    (workflow_step_id, step_index, name, item_index, added_by_step_id, added_by_attempt, inputs)
  SELECT n.id, n.step_index, n.name, n.item_index, n.by_step, n.by_attempt, n.inputs::json
  FROM new n
), ready AS (
  INSERT INTO tasker_ready_steps (workflow_step_id, queue, available_at, priority)
  SELECT n.id, n.queue, n.available_at, n.priority
  FROM new n
  WHERE n.state = 'enqueued'
), edge AS (
  INSERT INTO tasker_workflow_step_edges (from_step_id, to_step_id)
  SELECT * FROM unnest($14::bigint[], $15::bigint[])
), parents AS (
  INSERT INTO tasker_parent_counts AS c (workflow_step_id, parents, first_item_id)
  SELECT * FROM unnest($16::bigint[], $17::int[], $18::bigint[])
  ON CONFLICT (workflow_step_id) DO UPDATE SET parents = excluded.parents, first_item_id = excluded.first_item_id
)
SELECT count(*) AS "steps!" FROM new
