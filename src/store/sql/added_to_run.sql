-- Caller: the delivery of claimed steps that were added. Index: primary keys. For an item: how many items of its map step have failed,
-- as long as that waits for them; not where an operator has had it tried again, or a step was refused because no attempt is left.
SELECT a.workflow_step_id, a.step_index, a.name, a.item_index, a.inputs::text AS "inputs!",
       CASE WHEN m.failed_parents > 0 AND NOT EXISTS (
         SELECT FROM tasker_workflow_step_transitions t WHERE t.workflow_step_id = wanted.id AND t.event = 'retried')
         AND NOT EXISTS (
           SELECT FROM tasker_task_budgets b WHERE b.task_id = wanted.id >> 20 AND b.exhausted = 'attempts')
       THEN m.failed_parents END AS failed_items
FROM unnest($1::bigint[]) AS wanted (id)
JOIN tasker_added_steps a ON a.workflow_step_id BETWEEN wanted.id AND wanted.id
LEFT JOIN tasker_workflow_steps m
  ON a.item_index IS NOT NULL AND m.workflow_step_id BETWEEN a.added_by_step_id AND a.added_by_step_id AND m.state = 'pending'
