# frozen_string_literal: true

require_relative "bulk_tasks_command"

module TaskerCore
  class CLI
    # `tasker cancel`: ends a task that is not over.
    class Cancel < BulkTasksCommand
      NAME = "cancel"
      SUMMARY = "cancel a task: nothing more of it is started"
      ARGUMENTS = %w[ID].freeze
      DETAILS = "Who cancelled and why is kept in the task's history.\n\n#{ALL}".freeze
      EXAMPLES = ["tasker cancel 42 --reason 'ordered twice'",
                  "tasker cancel --all --name reindex --older-than 2d --reason 'the index is gone'"].freeze

      private

      def one(id)
        steer(id) { |client, task_id, request| client.cancel(task_id, **request) }
      end

      def all(client, request, &progress)
        client.cancel_all(**request, **task_filter, &progress)
      end
    end
  end
end
