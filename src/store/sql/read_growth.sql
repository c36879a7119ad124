-- Caller: decisions about tasks that have grown. Indexes: primary keys. What was added to a task's template about these steps;
-- nothing about those that are as it says. BETWEEN and OFFSET 0: see docs/decisions/0004-plans.md.
SELECT wanted.id AS "workflow_step_id!", a.step_index AS "step_index?", c.parents AS "parents?", c.first_item_id AS "first_item_id?"
FROM unnest($1::bigint[]) AS wanted (id)
LEFT JOIN tasker_added_steps a ON a.workflow_step_id BETWEEN wanted.id AND wanted.id
LEFT JOIN tasker_parent_counts c ON c.workflow_step_id BETWEEN wanted.id AND wanted.id
WHERE a.workflow_step_id IS NOT NULL OR c.workflow_step_id IS NOT NULL
