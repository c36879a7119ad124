-- Caller: the opening of a feed. Whether both tables of transitions can be read along their numbers.
SELECT to_regclass('tasker_workflow_step_transitions_feed') IS NOT NULL
       AND to_regclass('tasker_task_transitions_feed') IS NOT NULL AS "indexed!"
