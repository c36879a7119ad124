-- Caller: the pruner. Index: primary keys; of identities, that of their tasks. Locks: the tasks that it deletes, unless somebody
-- holds them. Their identities and keys go with them, so that none leads to a task that is gone, their deadlines and where they come from; their other rows
-- follow later. Kept are tasks whose results are still asked for: by the step that runs them, while its task has not ended, and
-- by the task that undoes them; and tasks that undo others, as long as these are there: nobody is to take those for not undone.
-- Reads $2 tasks from $1 on: none that was requested after the youngest that may be deleted could be deleted itself.
WITH cutoff AS (
  SELECT statement_timestamp() - make_interval(secs => $3) AS finished,
         statement_timestamp() - make_interval(secs => $4) AS failed
), seen AS MATERIALIZED (
  SELECT task_id, requested_at
  FROM tasker_tasks
  WHERE task_id >= $1
  ORDER BY task_id
  LIMIT $2
), due AS MATERIALIZED (
  SELECT t.task_id
  FROM seen
  JOIN tasker_tasks t USING (task_id)
  CROSS JOIN cutoff
  WHERE t.finished_at < CASE t.state WHEN 'error' THEN cutoff.failed ELSE cutoff.finished END
    AND (t.parent_step_id IS NULL OR NOT EXISTS (
      SELECT FROM tasker_tasks p WHERE p.task_id = t.parent_step_id >> 20 AND p.finished_at IS NULL))
    AND (t.state NOT IN ('error', 'cancelled') OR NOT EXISTS (
      SELECT FROM tasker_compensations c JOIN tasker_tasks u ON u.task_id = c.task_id
      WHERE c.original_task_id = t.task_id AND u.finished_at IS NULL))
    AND NOT EXISTS (
      SELECT FROM tasker_compensations c JOIN tasker_tasks o ON o.task_id = c.original_task_id
      WHERE c.task_id = t.task_id)
  FOR UPDATE OF t SKIP LOCKED
), gone AS (
  DELETE FROM tasker_tasks t
  USING due
  WHERE t.task_id = due.task_id
  RETURNING t.task_id, t.total_steps
), forgotten AS (
  DELETE FROM tasker_task_identities i
  USING gone
  WHERE i.task_id = gone.task_id
), in_time AS (
  DELETE FROM tasker_task_deadlines d
  USING gone
  WHERE d.task_id = gone.task_id
), orphaned AS (
  DELETE FROM tasker_child_tasks c
  USING gone
  WHERE c.task_id = gone.task_id
), undone AS (
  DELETE FROM tasker_compensations c
  USING gone
  WHERE c.original_task_id = gone.task_id
), uncorrelated AS (
  DELETE FROM tasker_task_correlations c
  USING gone
  WHERE c.task_id = gone.task_id
), unforked AS (
  DELETE FROM tasker_task_forks f
  USING gone
  WHERE f.task_id = gone.task_id
), noted AS (
  INSERT INTO tasker_pruned_tasks (task_id) SELECT task_id FROM gone
)
SELECT count(gone.task_id) AS "tasks!",
       coalesce(sum(gone.total_steps), 0) AS "steps!",
       max(seen.task_id) AS last_seen,
       min(seen.task_id) FILTER (WHERE gone.task_id IS NULL) AS first_kept,
       count(*) < $2 OR max(seen.requested_at) >= (SELECT greatest(finished, failed) FROM cutoff) AS "ended!"
FROM seen
LEFT JOIN gone USING (task_id)
