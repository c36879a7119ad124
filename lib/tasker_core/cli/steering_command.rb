# frozen_string_literal: true

require_relative "command"
require_relative "task_report"

module TaskerCore
  class CLI
    # A command by which an operator asks something of a task, with a reason, and is shown how the task is then.
    class SteeringCommand < Command
      private

      # @yieldparam client [Client]
      # @yieldparam task_id [Integer]
      # @yieldparam request [Hash{Symbol => String, nil}] actor and reason
      # @yieldreturn [TaskStatus]
      # @return [Integer] exit status
      def steer(id)
        task_id = id_from(id)
        status = connected { |client| yield(client, task_id, { actor: actor, reason: options[:reason] }) }
        json? ? output.json(status.to_h) : TaskReport.new(output).show(status)
        OK
      end

      def define_options(parser)
        reason_option(parser)
        json_option(parser)
      end
    end
  end
end
