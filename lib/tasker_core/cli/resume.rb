# frozen_string_literal: true

require_relative "steering_command"

module TaskerCore
  class CLI
    # `tasker resume`: lets a paused task go on.
    class Resume < SteeringCommand
      NAME = "resume"
      SUMMARY = "let a paused task go on"
      ARGUMENTS = %w[ID].freeze
      DETAILS = "Who asked for it and why is kept in the history."
      EXAMPLES = ["tasker resume 42 --reason 'the bank is back'"].freeze

      # Resumes the task.
      #
      # @param id [String] task id
      # @return [Integer] exit status
      def call(id)
        steer(id) { |client, task_id, request| client.resume(task_id, **request) }
      end
    end
  end
end
