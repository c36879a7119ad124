# frozen_string_literal: true

require_relative "command"
require_relative "json_argument"

module TaskerCore
  class CLI
    # `tasker fork`: a task that takes over what another one has done.
    class Fork < Command
      NAME = "fork"
      SUMMARY = "make a task that takes over what another one has done"
      ARGUMENTS = %w[ID STEP].freeze
      DETAILS = <<~TEXT
        The new task is of the same version of the template. STEP and every step below it are executed; of the others
        those that are complete, resolved or skipped are so in the new task, with their results, and the rest are
        executed. The task ID stays as it is. Which task it comes from, who asked and why is kept.
      TEXT
      EXAMPLES = ["tasker fork 42 price --context '{\"rate\": 7}' --reason 'what if the rate were 7?'",
                  "tasker fork 42 price --also ship --idempotency-key what-if-7 --json"].freeze

      # Makes the fork.
      #
      # @param id [String] task id
      # @param step [String] name of a step
      # @return [Integer] exit status
      def call(id, step)
        task_id = id_from(id)
        context = JsonArgument.new("--context", options.fetch(:context, "{}")).read(input)
        from = [step, *options[:also]]
        fork_id = connected { |client| client.fork(task_id, from: from, context: context, **request) }
        forked = { "task_id" => fork_id, "forked_from" => task_id }
        json? ? output.json(forked) : output.line("task #{fork_id} is a fork of task #{task_id}")
        OK
      end

      private

      def define_options(parser)
        parser.on("--context JSON|@FILE|-", "keys that get another value than in the task, or are added",
                  "(default: {})")
        parser.on("--also STEP", "another step that is executed; may be given again") do |step|
          [*options[:also], step]
        end
        parser.on("--idempotency-key KEY", "what the fork is known by: it is made once for this key")
        reason_option(parser)
        json_option(parser)
      end

      def request
        { actor: actor, reason: options[:reason], idempotency_key: options[:"idempotency-key"] }
      end
    end
  end
end
