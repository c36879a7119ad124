-- Caller: the feed. Indexes: tasker_workflow_step_transitions_feed, tasker_task_transitions_feed; primary key of the
-- tasks. The first $3 transitions after the number $1 up to $2, of the events $4 and $5 (all of them where NULL), in the
-- order of their numbers. The template is that of a task which is still there.
SELECT t.number AS "number!", t.task_id AS "task_id!", t.step_id, t.step_event AS "step_event: StepEvent",
       t.task_event AS "task_event: TaskEvent", t.created_at AS "created_at!", t.from_state AS "from_state!",
       t.to_state AS "to_state!", t.attempt, t.worker_id, t.execution_us,
       t.outcome AS "outcome: AttemptOutcome", t.detail, t.error,
       (SELECT k.named_task_id FROM tasker_tasks k WHERE k.task_id = t.task_id) AS named_task_id
FROM (
  (SELECT workflow_step_transition_id AS number, workflow_step_id >> 20 AS task_id, workflow_step_id AS step_id,
          event AS step_event, NULL::tasker_task_event AS task_event, created_at, from_state::text, to_state::text,
          attempt, worker_id, execution_us, outcome, detail::text, error::text
   FROM tasker_workflow_step_transitions
   WHERE workflow_step_transition_id > $1 AND workflow_step_transition_id <= $2
     AND ($4::tasker_step_event[] IS NULL OR event = ANY ($4))
   ORDER BY workflow_step_transition_id
   LIMIT $3)
  UNION ALL
  (SELECT task_transition_id, task_id, NULL, NULL, event, created_at, from_state::text, to_state::text,
          NULL, NULL, NULL, NULL, detail::text, NULL
   FROM tasker_task_transitions
   WHERE task_transition_id > $1 AND task_transition_id <= $2
     AND ($5::tasker_task_event[] IS NULL OR event = ANY ($5))
   ORDER BY task_transition_id
   LIMIT $3)
  ORDER BY number
  LIMIT $3
) AS t
ORDER BY t.number
