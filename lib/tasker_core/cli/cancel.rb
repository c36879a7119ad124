# frozen_string_literal: true

require_relative "command"
require_relative "task_report"

module TaskerCore
  class CLI
    # `tasker cancel`: ends a task that is not over.
    class Cancel < Command
      NAME = "cancel"
      SUMMARY = "cancel a task: nothing more of it is started"
      ARGUMENTS = %w[ID].freeze
      DETAILS = "Who cancelled and why is kept in the task's history."
      EXAMPLES = ["tasker cancel 42 --reason 'ordered twice'"].freeze

      # Cancels the task.
      #
      # @param id [String] task id
      # @return [Integer] exit status
      def call(id)
        task_id = id_from(id)
        status = connected { |client| client.cancel(task_id, actor: actor, reason: options[:reason]) }
        json? ? output.json(status.to_h) : TaskReport.new(output).show(status)
        OK
      end

      private

      def define_options(parser)
        reason_option(parser)
        json_option(parser)
      end
    end
  end
end
