-- Removes everything that 001_create_tasker.up.sql made, with all tasks and their history.

DROP VIEW tasker_task_overview, tasker_step_overview, tasker_edge_overview, tasker_attempt_overview, tasker_transition_overview;

DROP VIEW tasker_attempts, tasker_silent_workers;

DROP TABLE tasker_parent_counts, tasker_added_steps,
  tasker_follow_ups, tasker_compensations, tasker_child_tasks, tasker_task_forks, tasker_task_correlations, tasker_feeds, tasker_artifacts, tasker_signals,
  tasker_step_waits, tasker_recorded_ends, tasker_step_deadlines, tasker_task_budgets, tasker_task_deadlines,
  tasker_task_identities, tasker_pruned_tasks, tasker_task_transitions, tasker_workflow_step_transitions, tasker_claim_batches, tasker_ready_steps,
  tasker_workflow_step_edges, tasker_workflow_steps, tasker_tasks,
  tasker_workers, tasker_named_steps, tasker_named_tasks, tasker_task_namespaces;

DROP SEQUENCE tasker_transition_ids;

DROP FUNCTION tasker_delete_rows_of_task();

DROP TYPE tasker_follow_up_kind, tasker_worker_state, tasker_attempt_outcome, tasker_task_event, tasker_step_event,
  tasker_step_state, tasker_task_state;
