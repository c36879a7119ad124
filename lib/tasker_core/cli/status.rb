# frozen_string_literal: true

require_relative "command"
require_relative "task_report"

module TaskerCore
  class CLI
    # `tasker status`: where a task stands.
    class Status < Command
      NAME = "status"
      SUMMARY = "show where a task stands"
      ARGUMENTS = %w[ID].freeze
      DETAILS = "Exit status 1 when the task ended in error, was cancelled or is blocked."
      EXAMPLES = ["tasker status 42", "tasker status 42 --json | jq -r .state"].freeze

      # Writes the status of the task.
      #
      # @param id [String] task id
      # @return [Integer] exit status
      def call(id)
        task_id = id_from(id)
        status = connected { |client| client.status(task_id) }
        json? ? output.json(status.to_h) : TaskReport.new(output).show(status)
        TaskReport.exit_status(status.state)
      end

      private

      def define_options(parser)
        json_option(parser)
      end
    end
  end
end
