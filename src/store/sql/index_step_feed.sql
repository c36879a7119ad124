-- Caller: the first opening of a feed. Locks: nobody writes transitions until the index is made.
CREATE INDEX IF NOT EXISTS tasker_workflow_step_transitions_feed
  ON tasker_workflow_step_transitions (workflow_step_transition_id)
