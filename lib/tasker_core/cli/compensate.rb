# frozen_string_literal: true

require_relative "bulk_tasks_command"

module TaskerCore
  class CLI
    # `tasker compensate`: undoes what a task did that failed or was cancelled.
    class Compensate < BulkTasksCommand
      NAME = "compensate"
      SUMMARY = "undo what a task did that failed or was cancelled"
      ARGUMENTS = %w[ID].freeze
      DETAILS = <<~TEXT.freeze
        Another task undoes the complete steps that say how, in reverse order. The task itself cannot go on.

        #{ALL}
        It means tasks in error and cancelled ones; --name is needed.
      TEXT
      EXAMPLES = ["tasker compensate 42 --reason 'the customer agreed'",
                  "tasker compensate --all --name trip --state error --reason 'the airline is bankrupt'"].freeze
      NEEDED = %i[name].freeze

      private

      def one(id)
        steer(id) { |client, task_id, request| client.compensate(task_id, **request) }
      end

      def all(client, request, &progress)
        client.compensate_all(**request, **task_filter, &progress)
      end
    end
  end
end
