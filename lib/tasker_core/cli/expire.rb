# frozen_string_literal: true

require_relative "bulk_steering_command"
require_relative "task_options"

module TaskerCore
  class CLI
    # `tasker expire`: cancels tasks that were requested long ago and have not ended.
    class Expire < BulkSteeringCommand
      include TaskOptions

      NAME = "expire"
      SUMMARY = "cancel tasks that were requested long ago and have not ended"
      DETAILS = <<~TEXT
        An AGE is a whole number and a unit: s, m (minutes), h, d or w. That they expired is kept in their history.
        Each task is cancelled by itself: one that refuses does not stop the others. Exit status 1 when one refused.
      TEXT
      EXAMPLES = ["tasker expire --older-than 7d --dry-run", "tasker expire --older-than 7d --state blocked"].freeze

      # Cancels them.
      #
      # @return [Integer] exit status
      def call
        steer_all
      end

      # The line that shows how the command is called.
      #
      # @return [String]
      def usage
        "#{program} --older-than AGE [options]"
      end

      private

      def define_options(parser)
        parser.on("--older-than AGE", "only tasks that were requested longer ago than this")
        task_options(parser)
        many_options(parser)
        reason_option(parser)
        json_option(parser)
      end

      def check_number_of(arguments)
        refuse("unexpected argument #{arguments.first.inspect}") if arguments.any?
        refuse("missing --older-than AGE, for instance --older-than 7d") unless options[:"older-than"]
      end

      def all(client, request, &progress)
        client.expire(**request, **task_filter, &progress)
      end
    end
  end
end
