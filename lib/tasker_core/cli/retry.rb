# frozen_string_literal: true

require_relative "bulk_steering_command"
require_relative "failure_options"

module TaskerCore
  class CLI
    # `tasker retry`: has steps tried again that failed or are blocked.
    class Retry < BulkSteeringCommand
      include FailureOptions

      NAME = "retry"
      SUMMARY = "have the failed and blocked steps of a task tried again"
      ARGUMENTS = %w[ID [STEP]].freeze
      DETAILS = <<~TEXT.freeze
        Without STEP all of the task's steps that are in error, blocked or waiting for their next attempt. They are tried
        at once. Each has all the attempts before it that its policy allows; those that it had are kept. A STEP that waits
        for a time or a signal begins anew. A task that ended in error goes on. Who asked for it and why is kept in the
        history.

        #{ALL}
        It describes steps in error or blocked, as tasker failures lists them.

        With --canary K the first K of them are watched until they have ended. If more than --tolerate N of them fail
        again, the others are left alone, and the exit status is 1. At the end of the time it goes on as well, unless none
        of them has ended; a step that waits for another attempt has failed then.
      TEXT
      EXAMPLES = ["tasker retry 42", "tasker retry 42 charge_card --reason 'the bank is back'",
                  "tasker retry --all --name order --step charge --error Net::ReadTimeout --since 2h --dry-run",
                  "tasker retry --all --error Net::ReadTimeout --canary 5 --watch 60s --rate 20/s"].freeze
      NOUN = "step"
      # Options that go with `--canary`.
      OF_CANARY = %i[watch tolerate].freeze

      private

      def bulk_options(parser)
        failure_options(parser)
        parser.on("--canary K", Integer, "try K first, watch them, then the others (default: none)")
        parser.on("--watch AGE", "how long to watch them at most (default: 60s)")
        parser.on("--tolerate N", Integer, "how many of them may fail again (default: 0)")
      end

      def check_number_of(arguments)
        super
        wrong = options[:canary] ? nil : (options.keys & OF_CANARY).first
        refuse("--#{wrong} goes with --canary") if wrong
      end

      def one(id, step = nil)
        steer(id) { |client, task_id, request| client.retry(task_id, step: step, **request) }
      end

      def all(client, request, &progress)
        client.retry_all(**request, **trial, **failure_filter, &progress)
      end

      def trial
        watch = options[:watch]
        { **options.slice(:canary, :tolerate), **(watch ? { watch: Age.seconds("--watch", watch) } : {}) }
      end
    end
  end
end
