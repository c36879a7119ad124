-- Caller: status, list and explain. Indexes: primary keys, UNIQUE (parent_step_id, name, generation), that of the task that undoes.
-- What tasks have to do with others: the steps that run them, the tasks that their steps run, what undoes them.
SELECT c.task_id AS "of!: TaskId", 'parent' AS "kin!", c.parent_step_id >> 20 AS "task!: TaskId",
       c.name AS "call", c.parent_step_id AS "step?: StepId", coalesce(a.name, n.name) AS step_name, p.state AS "state!: TaskState", k.name AS "name!", k.version AS "version!"
FROM tasker_child_tasks c
JOIN tasker_tasks p ON p.task_id = c.parent_step_id >> 20
JOIN tasker_named_tasks k USING (named_task_id)
LEFT JOIN tasker_workflow_steps s ON s.workflow_step_id = c.parent_step_id
LEFT JOIN tasker_named_steps n USING (named_step_id)
LEFT JOIN tasker_added_steps a ON a.workflow_step_id = c.parent_step_id
WHERE c.task_id = ANY ($1::bigint[])
UNION ALL
SELECT c.parent_step_id >> 20, 'child', t.task_id, c.name, c.parent_step_id, coalesce(a.name, n.name), t.state, k.name, k.version
FROM unnest($1::bigint[]) AS asked (id)
JOIN tasker_child_tasks c ON c.parent_step_id >= (asked.id << 20) AND c.parent_step_id < ((asked.id + 1) << 20)
JOIN tasker_tasks t ON t.task_id = c.task_id
JOIN tasker_named_tasks k USING (named_task_id)
LEFT JOIN tasker_workflow_steps s ON s.workflow_step_id = c.parent_step_id
LEFT JOIN tasker_named_steps n USING (named_step_id)
LEFT JOIN tasker_added_steps a ON a.workflow_step_id = c.parent_step_id
UNION ALL
SELECT c.task_id, 'compensates', t.task_id, NULL, NULL, NULL, t.state, k.name, k.version
FROM tasker_compensations c
JOIN tasker_tasks t ON t.task_id = c.original_task_id
JOIN tasker_named_tasks k USING (named_task_id)
WHERE c.task_id = ANY ($1::bigint[])
UNION ALL
SELECT c.original_task_id, 'compensated_by', t.task_id, NULL, NULL, NULL, t.state, k.name, k.version
FROM tasker_compensations c
JOIN tasker_tasks t ON t.task_id = c.task_id
JOIN tasker_named_tasks k USING (named_task_id)
WHERE c.original_task_id = ANY ($1::bigint[])
ORDER BY 1, 3
