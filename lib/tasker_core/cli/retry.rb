# frozen_string_literal: true

require_relative "steering_command"

module TaskerCore
  class CLI
    # `tasker retry`: has steps tried again that failed for good or are blocked.
    class Retry < SteeringCommand
      NAME = "retry"
      SUMMARY = "have the failed and blocked steps of a task tried again"
      ARGUMENTS = %w[ID [STEP]].freeze
      DETAILS = <<~TEXT
        Without STEP all of the task's steps that are in error or blocked. Each has all the attempts before it that its
        policy allows; those that it had are kept. A task that ended in error goes on. Who asked for it and why is kept
        in the history.
      TEXT
      EXAMPLES = ["tasker retry 42", "tasker retry 42 charge_card --reason 'the bank is back'"].freeze

      # Has the steps tried again.
      #
      # @param id [String] task id
      # @param step [String, nil] name of a step
      # @return [Integer] exit status
      def call(id, step = nil)
        steer(id) { |client, task_id, request| client.retry(task_id, step: step, **request) }
      end
    end
  end
end
