# frozen_string_literal: true

require_relative "command"
require_relative "task_report"

module TaskerCore
  class CLI
    # `tasker resume`: lets a paused task go on.
    class Resume < Command
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
        task_id = id_from(id)
        status = connected { |client| client.resume(task_id, actor: actor, reason: options[:reason]) }
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
