-- Caller: the first opening of a feed. Locks: nobody writes transitions until the index is made.
CREATE INDEX IF NOT EXISTS tasker_task_transitions_feed ON tasker_task_transitions (task_transition_id)
