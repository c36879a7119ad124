# frozen_string_literal: true

require_relative "bulk_tasks_command"

module TaskerCore
  class CLI
    # `tasker budget`: raises the budget of a task.
    class Budget < BulkTasksCommand
      NAME = "budget"
      SUMMARY = "raise the budget of a task"
      ARGUMENTS = %w[ID].freeze
      DETAILS = <<~TEXT
        The steps that the budget kept from being started are tried again, and a task that ended in error goes on. What was
        used up so far counts. A task that is complete stays so, and its steps can be executed anew. Who asked for it and
        why is kept in the history.

        With --all it is done with all tasks of a template that have not ended, or are in error, that the options
        describe, each by itself: one that refuses does not stop the others. --name is needed. Exit status 1 when one
        refused. One that has this budget already stays as it is.
      TEXT
      EXAMPLES = ["tasker budget 42 --attempts 400 --reason 'the bank was down'", "tasker budget 42 --cost 20",
                  "tasker budget --all --name research --state error --attempts 400"].freeze
      OF_ONE = [*BulkTasksCommand::OF_ONE, :attempts, :cost].freeze
      NEEDED = %i[name].freeze

      private

      def define_options(parser)
        parser.on("--attempts N", Integer, "attempts of all steps together")
        parser.on("--cost X", Float, "what all attempts spend together")
        super
      end

      def check_number_of(arguments)
        super
        refuse("say how much: --attempts N, --cost X or both") if limits.empty?
      end

      def one(id)
        steer(id) { |client, task_id, request| client.raise_budget(task_id, **limits, **request) }
      end

      def all(client, request, &progress)
        client.raise_budget_all(**request, **task_filter, **limits, &progress)
      end

      def limits
        options.slice(:attempts, :cost)
      end
    end
  end
end
