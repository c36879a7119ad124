-- Caller: `tasker templates diff`. Indexes: tasker_tasks_unfinished, primary keys. Steps that were added count as their prototypes.
SELECT i.step_index AS "step_index!", count(*) AS "tasks!",
       (array_agg(t.task_id ORDER BY t.task_id))[1:20] AS "task_ids!"
FROM tasker_tasks t
CROSS JOIN unnest($2::int[]) AS i (step_index)
WHERE t.finished_at IS NULL AND t.named_task_id = $1
  AND (EXISTS (
         SELECT FROM tasker_workflow_steps s
         WHERE s.workflow_step_id = ((t.task_id << 20) | i.step_index)
           AND s.state NOT IN ('complete', 'skipped', 'cancelled', 'resolved_manually'))
       OR EXISTS (
         SELECT FROM tasker_added_steps a JOIN tasker_workflow_steps s USING (workflow_step_id)
         WHERE a.workflow_step_id >= t.task_id << 20 AND a.workflow_step_id < (t.task_id + 1) << 20
           AND a.step_index = i.step_index
           AND s.state NOT IN ('complete', 'skipped', 'cancelled', 'resolved_manually')))
GROUP BY i.step_index
ORDER BY i.step_index
