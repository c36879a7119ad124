# frozen_string_literal: true

module Bench
  # What {Records} asks the database. Each query gives one text for each thing that breaks the rule before it.
  module RecordQueries
    # What is counted => query.
    COUNTS = {
      "tasks" => "SELECT count(*) FROM tasker_tasks",
      "steps" => "SELECT count(*) FROM tasker_workflow_steps",
      "edges" => "SELECT count(*) FROM tasker_workflow_step_edges"
    }.freeze

    # The ways of a step from state to state, without and with parents.
    PATHS = <<~SQL
      CASE WHEN EXISTS (SELECT FROM tasker_workflow_step_edges WHERE to_step_id = workflow_step_id)
           THEN ARRAY['pending > in_progress, in_progress > complete',
                      'pending > enqueued, enqueued > in_progress, in_progress > complete']
           ELSE ARRAY['enqueued > in_progress, in_progress > complete'] END
    SQL

    # Those that have handlers: all.
    STEPS = "SELECT workflow_step_id FROM tasker_workflow_steps"

    # After a run in which every step was executed.
    COMPLETE = {
      "tasks are complete" => <<~SQL,
        SELECT format('task %s is %s', task_id, state) FROM tasker_tasks WHERE state <> 'complete'
      SQL
      "tasks have all of their steps" => <<~SQL,
        SELECT format('task %s has %s', task_id, count(workflow_step_id))
        FROM tasker_tasks LEFT JOIN tasker_workflow_steps USING (task_id)
        GROUP BY task_id HAVING count(workflow_step_id) <> total_steps
      SQL
      "steps are complete" => <<~SQL,
        SELECT format('step %s is %s', workflow_step_id, state) FROM tasker_workflow_steps WHERE state <> 'complete'
      SQL
      "steps have one attempt, which succeeded" => <<~SQL,
        SELECT format('step %s has %s', workflow_step_id, coalesce(string_agg(outcome::text, ' and '), 'none'))
        FROM tasker_workflow_steps s FULL JOIN tasker_attempts a USING (workflow_step_id)
        GROUP BY workflow_step_id
        HAVING count(a.attempt) <> 1 OR count(s.state) <> 1 OR bool_or(a.outcome <> 'succeeded')
      SQL
      "steps went from state to state once and legally" => <<~SQL,
        SELECT format('step %s went %s', workflow_step_id, coalesce(path, 'nowhere'))
        FROM (
          SELECT workflow_step_id,
                 string_agg(t.from_state || ' > ' || t.to_state, ', ' ORDER BY t.workflow_step_transition_id) AS path
          FROM tasker_workflow_steps LEFT JOIN tasker_workflow_step_transitions t USING (workflow_step_id)
          GROUP BY workflow_step_id
        ) AS paths
        WHERE path IS NULL OR path <> ALL (#{PATHS})
      SQL
      "attempts begin after those of the parents have ended" => <<~SQL,
        SELECT format('step %s began %s before step %s ended', to_step_id, parent.finished_at - child.claimed_at,
                      from_step_id)
        FROM tasker_workflow_step_edges
        JOIN tasker_attempts parent ON parent.workflow_step_id = from_step_id
        JOIN tasker_attempts child ON child.workflow_step_id = to_step_id
        WHERE child.claimed_at < parent.finished_at
      SQL
      "claims are recorded after the ends of the parents" => <<~SQL
        SELECT format('step %s was claimed %s before step %s was complete', to_step_id,
                      parent.created_at - child.created_at, from_step_id)
        FROM tasker_workflow_step_edges
        JOIN tasker_workflow_step_transitions parent
          ON parent.workflow_step_id = from_step_id AND parent.to_state = 'complete'
        JOIN tasker_workflow_step_transitions child
          ON child.workflow_step_id = to_step_id AND child.to_state = 'in_progress'
        WHERE child.created_at < parent.created_at
      SQL
    }.freeze

    # After a run in which tasks were made only.
    CREATED = {
      "tasks are pending" => <<~SQL,
        SELECT format('task %s is %s', task_id, state) FROM tasker_tasks WHERE state <> 'pending'
      SQL
      "steps wait for their parents" => <<~SQL
        SELECT format('step %s is %s with %s of %s parents open', workflow_step_id, state, open_parents,
                      count(from_step_id))
        FROM tasker_workflow_steps LEFT JOIN tasker_workflow_step_edges ON to_step_id = workflow_step_id
        GROUP BY workflow_step_id
        HAVING open_parents <> count(from_step_id)
            OR state <> CASE WHEN open_parents = 0 THEN 'enqueued' ELSE 'pending' END::tasker_step_state
      SQL
    }.freeze

    # State of tasks, and how many steps they have in all.
    STEPS_BY_STATE = "SELECT state, sum(total_steps) FROM tasker_tasks GROUP BY state ORDER BY state"

    # When the first of the workers that run was registered, in seconds on the server's clock.
    FIRST_WORKER = "SELECT extract(epoch FROM min(started_at)) FROM tasker_workers WHERE state = 'running'"

    # Changes of state of steps and tasks.
    TRANSITIONS = "SELECT (SELECT count(*) FROM tasker_workflow_step_transitions) + " \
                  "(SELECT count(*) FROM tasker_task_transitions)"

    # When the first attempt was claimed, in seconds on the server's clock.
    FIRST_CLAIM = "SELECT extract(epoch FROM min(claimed_at)) FROM tasker_attempts"
  end
end
