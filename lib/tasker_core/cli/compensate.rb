# frozen_string_literal: true

require_relative "steering_command"

module TaskerCore
  class CLI
    # `tasker compensate`: undoes what a task did that failed or was cancelled.
    class Compensate < SteeringCommand
      NAME = "compensate"
      SUMMARY = "undo what a task did that failed or was cancelled"
      ARGUMENTS = %w[ID].freeze
      DETAILS = "Another task undoes the complete steps that say how, in reverse order. The task itself cannot go on."
      EXAMPLES = ["tasker compensate 42 --reason 'the customer agreed'"].freeze

      # Undoes the task.
      #
      # @param id [String] task id
      # @return [Integer] exit status
      def call(id)
        steer(id) { |client, task_id, request| client.compensate(task_id, **request) }
      end
    end
  end
end
