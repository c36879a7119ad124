# frozen_string_literal: true

require_relative "steering_command"

module TaskerCore
  class CLI
    # `tasker pause`: keeps the steps of a task from being started.
    class Pause < SteeringCommand
      NAME = "pause"
      SUMMARY = "keep the steps of a task from being started"
      ARGUMENTS = %w[ID].freeze
      DETAILS = "Steps that run go on to their end. Who asked for it and why is kept in the history."
      EXAMPLES = ["tasker pause 42 --reason 'the bank is down'"].freeze

      # Pauses the task.
      #
      # @param id [String] task id
      # @return [Integer] exit status
      def call(id)
        steer(id) { |client, task_id, request| client.pause(task_id, **request) }
      end
    end
  end
end
