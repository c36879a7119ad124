# frozen_string_literal: true

require_relative "steering_command"

module TaskerCore
  class CLI
    # `tasker skip`: leaves a step out.
    class Skip < SteeringCommand
      NAME = "skip"
      SUMMARY = "leave a step of a task out"
      ARGUMENTS = %w[ID STEP].freeze
      DETAILS = <<~TEXT
        The step, which its template declares skippable, counts as done for the steps that depend on it; those are
        skipped as well where their join policies need it to be complete. An attempt that is running comes to nothing.
        A task that ended in error goes on. Who asked for it and why is kept in the history.
      TEXT
      EXAMPLES = ["tasker skip 42 send_coupon --reason 'the campaign is over'"].freeze

      # Skips the step.
      #
      # @param id [String] task id
      # @param step [String] name of a step
      # @return [Integer] exit status
      def call(id, step)
        steer(id) { |client, task_id, request| client.skip(task_id, step, **request) }
      end
    end
  end
end
