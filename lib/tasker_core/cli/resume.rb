# frozen_string_literal: true

require_relative "bulk_tasks_command"

module TaskerCore
  class CLI
    # `tasker resume`: lets a paused task go on.
    class Resume < BulkTasksCommand
      NAME = "resume"
      SUMMARY = "let a paused task go on"
      ARGUMENTS = %w[ID].freeze
      DETAILS = "Who asked for it and why is kept in the history.\n\n#{ALL}".freeze
      EXAMPLES = ["tasker resume 42 --reason 'the bank is back'",
                  "tasker resume --all --namespace billing --rate 20/s"].freeze

      private

      def one(id)
        steer(id) { |client, task_id, request| client.resume(task_id, **request) }
      end

      def all(client, request, &progress)
        client.resume_all(**request, **task_filter, &progress)
      end
    end
  end
end
