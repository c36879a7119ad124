# frozen_string_literal: true

require_relative "steering_command"

module TaskerCore
  class CLI
    # `tasker cancel`: ends a task that is not over.
    class Cancel < SteeringCommand
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
        steer(id) { |client, task_id, request| client.cancel(task_id, **request) }
      end
    end
  end
end
