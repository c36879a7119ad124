# frozen_string_literal: true

require_relative "bulk_steering_command"
require_relative "failure_options"

module TaskerCore
  class CLI
    # `tasker skip`: leaves a step out.
    class Skip < BulkSteeringCommand
      include FailureOptions

      NAME = "skip"
      SUMMARY = "leave a step of a task out"
      ARGUMENTS = %w[ID STEP].freeze
      DETAILS = <<~TEXT.freeze
        The step, which its template declares skippable, counts as done for the steps that depend on it; those are
        skipped as well where their join policies need it to be complete. An attempt that is running comes to nothing.
        A task that ended in error goes on. Who asked for it and why is kept in the history.

        #{ALL}
        It describes steps in error or blocked, as tasker failures lists them.
      TEXT
      EXAMPLES = ["tasker skip 42 send_coupon --reason 'the campaign is over'",
                  "tasker skip --all --step send_coupon --reason 'the campaign is over'"].freeze
      NOUN = "step"

      private

      def bulk_options(parser)
        failure_options(parser)
      end

      def one(id, step)
        steer(id) { |client, task_id, request| client.skip(task_id, step, **request) }
      end

      def all(client, request, &progress)
        client.skip_all(**request, **failure_filter, &progress)
      end
    end
  end
end
