# frozen_string_literal: true

require_relative "command"
require_relative "task_report"

module TaskerCore
  class CLI
    # `tasker pause`: keeps the steps of a task from being started.
    class Pause < Command
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
        task_id = id_from(id)
        status = connected { |client| client.pause(task_id, actor: actor, reason: options[:reason]) }
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
