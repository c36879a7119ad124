# frozen_string_literal: true

require_relative "bulk_steering_command"
require_relative "task_options"

module TaskerCore
  class CLI
    # A {BulkSteeringCommand} whose `--all` means tasks.
    class BulkTasksCommand < BulkSteeringCommand
      include TaskOptions

      private

      def bulk_options(parser)
        task_options(parser)
        older_than_option(parser)
      end
    end
  end
end
