# frozen_string_literal: true

require_relative "bulk_tasks_command"

module TaskerCore
  class CLI
    # `tasker compensate`: undoes what a task did that failed or was cancelled.
    class Compensate < BulkTasksCommand
      NAME = "compensate"
      SUMMARY = "undo what a task did that failed or was cancelled"
      ARGUMENTS = %w[ID].freeze
      DETAILS = <<~TEXT
        Another task undoes the complete steps that say how, in reverse order. The task itself cannot go on. Where there
        is no such step nothing is changed, and the command says so.

        With --all it is done with all tasks of a template in error, and cancelled ones, that the options describe, each
        by itself: one that refuses does not stop the others. --name is needed. Exit status 1 when one refused. Those that
        are undone already are not meant.
      TEXT
      EXAMPLES = ["tasker compensate 42 --reason 'the customer agreed'",
                  "tasker compensate --all --name trip --state error --reason 'the airline is bankrupt'"].freeze
      NEEDED = %i[name].freeze
      # What is said where no task was made.
      NOTHING = "tasker: there is nothing to undo: no step that says how is complete; nothing was changed"

      private

      def one(id)
        steer(id) do |client, task_id, request|
          client.compensate(task_id, **request).tap { |status| output.note(NOTHING) unless status.compensated_by }
        end
      end

      def all(client, request, &progress)
        client.compensate_all(**request, **task_filter, &progress)
      end
    end
  end
end
