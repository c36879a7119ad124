# frozen_string_literal: true

require_relative "record_queries"

module Bench
  # What is asked after runs of map steps, as {RecordQueries}.
  module MapQueries
    # Map steps are the first steps of their tasks, the ones below them the second, items the others.
    PLACE = "(workflow_step_id & 1048575)"

    # Those that have handlers: all but map steps.
    STEPS = "SELECT workflow_step_id FROM tasker_workflow_steps WHERE #{PLACE} <> 0".freeze

    # After a run of map steps in which every item was executed.
    COMPLETE = {
      **RecordQueries::COMPLETE.slice("tasks are complete", "steps are complete"),
      "items and the steps below map steps have one attempt, which succeeded" => <<~SQL,
        SELECT format('step %s has %s', workflow_step_id, coalesce(string_agg(outcome::text, ' and '), 'none'))
        FROM tasker_workflow_steps s FULL JOIN tasker_attempts a USING (workflow_step_id)
        WHERE #{PLACE} <> 0
        GROUP BY workflow_step_id
        HAVING count(a.attempt) <> 1 OR count(s.state) <> 1 OR bool_or(a.outcome <> 'succeeded')
      SQL
      "steps below map steps begin after all items have ended" => <<~SQL
        SELECT format('step %s began %s before item %s ended', reducer.workflow_step_id,
                      item.finished_at - reducer.claimed_at, item.workflow_step_id)
        FROM tasker_attempts item
        JOIN tasker_attempts reducer ON reducer.workflow_step_id = (item.workflow_step_id >> 20 << 20) + 1
        WHERE item.workflow_step_id & 1048575 > 1 AND reducer.claimed_at < item.finished_at
      SQL
    }.freeze

    # What the steps below map steps have returned.
    FOUND = "SELECT results FROM tasker_workflow_steps WHERE #{PLACE} = 1 ORDER BY workflow_step_id".freeze

    # When the first item was claimed and the last one had ended, in seconds on the server's clock, and how many items
    # there were.
    ITEMS = <<~SQL.freeze
      SELECT extract(epoch FROM min(claimed_at)), extract(epoch FROM max(finished_at)), count(*)
      FROM tasker_attempts WHERE #{PLACE} > 1
    SQL

    # When the first map step was claimed, in seconds on the server's clock. The claim of one is no attempt.
    FIRST_CLAIM = <<~SQL.freeze
      SELECT extract(epoch FROM min(created_at)) FROM tasker_workflow_step_transitions
      WHERE #{PLACE} = 0 AND to_state = 'in_progress'
    SQL
  end
end
