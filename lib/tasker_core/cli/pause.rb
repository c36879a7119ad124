# frozen_string_literal: true

require_relative "bulk_tasks_command"

module TaskerCore
  class CLI
    # `tasker pause`: keeps the steps of a task from being started.
    class Pause < BulkTasksCommand
      NAME = "pause"
      SUMMARY = "keep the steps of a task from being started"
      ARGUMENTS = %w[ID].freeze
      DETAILS = "Steps that run go on to their end. Who asked for it and why is kept in the history.\n\n#{ALL}".freeze
      EXAMPLES = ["tasker pause 42 --reason 'the bank is down'",
                  "tasker pause --all --namespace billing --reason 'the bank is down'"].freeze

      private

      def one(id)
        steer(id) { |client, task_id, request| client.pause(task_id, **request) }
      end

      def all(client, request, &progress)
        client.pause_all(**request, **task_filter, &progress)
      end
    end
  end
end
