# frozen_string_literal: true

require_relative "bulk_tasks_command"
require_relative "json_argument"

module TaskerCore
  class CLI
    # `tasker fork`: a task that takes over what another one has done.
    class Fork < BulkTasksCommand
      NAME = "fork"
      SUMMARY = "make a task that takes over what another one has done"
      ARGUMENTS = %w[ID STEP].freeze
      DETAILS = <<~TEXT
        The new task is of the same version of the template. STEP and every step below it are executed; of the others
        those that are complete, resolved or skipped are so in the new task, with their results, and the rest are
        executed. The task ID stays as it is. Which task it comes from, who asked and why is kept.

        With --all it is done with all tasks of a template, ended or not, that the options describe, but not with forks;
        --step, --name and --idempotency-key are needed. Exit status 1 when one refused. Each fork is known by the key and
        the task's id: when the command is repeated no second fork of a task is made.
      TEXT
      EXAMPLES = ["tasker fork 42 price --context '{\"rate\": 7}' --reason 'what if the rate were 7?'",
                  "tasker fork 42 price --also ship --idempotency-key what-if-7 --json",
                  "tasker fork --all --name quote --step price --context @rate.json --idempotency-key rate-7"].freeze
      OF_ONE = [*BulkTasksCommand::OF_ONE, :context, :also, :"idempotency-key"].freeze
      NEEDED = %i[step name idempotency-key].freeze

      private

      def define_options(parser)
        parser.on("--context JSON|@FILE|-", "keys that get another value than in the task, or are added",
                  "(default: {})")
        parser.on("--also STEP", "another step that is executed; may be given again") do |step|
          [*options[:also], step]
        end
        parser.on("--idempotency-key KEY", "what the fork is known by: it is made once for this key")
        super
      end

      def bulk_options(parser)
        parser.on("--step STEP", "the step that is executed")
        super
      end

      def one(id, step)
        task_id = id_from(id)
        request = { actor: actor, reason: options[:reason], **fork_from(step) }
        fork_id = connected { |client| client.fork(task_id, **request) }
        forked = { "task_id" => fork_id, "forked_from" => task_id }
        json? ? output.json(forked) : output.line("task #{fork_id} is a fork of task #{task_id}")
        OK
      end

      def all(client, request, &progress)
        client.fork_all(**request, **task_filter, **fork_from(options.fetch(:step)), &progress)
      end

      def fork_from(step)
        { from: [step, *options[:also]], idempotency_key: options[:"idempotency-key"],
          context: JsonArgument.new("--context", options.fetch(:context, "{}")).read_object(input) }
      end
    end
  end
end
