# frozen_string_literal: true

require_relative "bulk_tasks_command"

module TaskerCore
  class CLI
    # `tasker rerun`: has a step executed anew, and those below it.
    class Rerun < BulkTasksCommand
      NAME = "rerun"
      SUMMARY = "have a step executed anew, with every step below it"
      ARGUMENTS = %w[ID STEP].freeze
      DETAILS = <<~TEXT.freeze
        What the steps above returned stays; what this step and those below it returned is kept as artifacts. Attempts
        that run in steps below come to nothing. A task that is complete or in error goes on. A step that has not begun,
        or runs, stays as it is. Who asked for it and why is kept in the history.

        Where the task fails afterwards and is undone, what attempts before the rerun did is not undone: take it back
        first, or have the handler do so.

        With --all it is done with that step of all tasks of a template, ended or not, that the options describe; --step
        and --name are needed. Exit status 1 when one refused. When the command is repeated it is done again with tasks
        whose step has ended meanwhile.
      TEXT
      EXAMPLES = ["tasker rerun 42 enrich --reason 'its data were corrected'",
                  "tasker rerun --all --step enrich --name order_fulfilment --version 1.2.0 --rate 20/s"].freeze
      NEEDED = %i[step name].freeze

      private

      def bulk_options(parser)
        parser.on("--step STEP", "the step that is executed anew")
        super
      end

      def one(id, step)
        steer(id) { |client, task_id, request| client.rerun(task_id, step, **request) }
      end

      def all(client, request, &progress)
        client.rerun_all(options.fetch(:step), **request, **task_filter, &progress)
      end
    end
  end
end
