-- Caller: a handler that runs a workflow, under the lock of its task. Indexes: UNIQUE (parent_step_id, name, generation), primary
-- keys. $1, $2: the step and the name of the call; its last child is told. Transitions are numbered in the order in which they
-- follow from one another.
SELECT c.task_id AS "task: TaskId", c.generation, t.state AS "state: TaskState", t.named_task_id,
       EXISTS (SELECT FROM tasker_compensations o WHERE o.original_task_id = c.task_id) AS "undone!", c.superseded,
       coalesce((SELECT max(s.workflow_step_transition_id) FROM tasker_workflow_step_transitions s
                 WHERE s.workflow_step_id = $1 AND s.event = 'retried')
                > (SELECT max(x.task_transition_id) FROM tasker_task_transitions x
                   WHERE x.task_id = c.task_id AND x.from_state <> x.to_state),
                false) AS "retried!"
FROM tasker_child_tasks c
JOIN tasker_tasks t USING (task_id)
WHERE c.parent_step_id = $1 AND c.name = $2
ORDER BY c.generation DESC
LIMIT 1
