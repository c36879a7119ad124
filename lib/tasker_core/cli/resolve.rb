# frozen_string_literal: true

require_relative "bulk_steering_command"
require_relative "failure_options"
require_relative "json_argument"

module TaskerCore
  class CLI
    # `tasker resolve`: gives the results of a step.
    class Resolve < BulkSteeringCommand
      include FailureOptions

      NAME = "resolve"
      SUMMARY = "give the results of a step of a task"
      ARGUMENTS = %w[ID STEP].freeze
      DETAILS = <<~TEXT.freeze
        The step counts as complete for the steps that depend on it, with these results. An attempt that is running comes
        to nothing. A task that ended in error goes on. Who asked for it and why is kept in the history.

        #{ALL}
        It describes steps in error or blocked, as tasker failures lists them; --name and --step are needed. All are given
        the same results.
      TEXT
      EXAMPLES = [
        "tasker resolve 42 charge_card --results '{\"payment_id\": \"p-7\"}' --reason 'paid at the counter'",
        "tasker resolve 42 charge_card --results @payment.json",
        "tasker resolve 42 route --take ship_by_air,notify",
        "tasker resolve --all --name order --step notify --results '{\"sent\": false}' --reason 'by post'"
      ].freeze
      NOUN = "step"
      OF_ONE = [*BulkSteeringCommand::OF_ONE, :results, :take].freeze
      NEEDED = %i[name step].freeze

      private

      def define_options(parser)
        parser.on("--results JSON|@FILE|-", "the step's results: JSON, a file, or standard input", "(default: null)")
        parser.on("--take NAMES", Array, "of a decision step: the branches that are taken, comma separated",
                  "('' takes none)")
        super
      end

      def bulk_options(parser)
        failure_options(parser)
      end

      def one(id, step)
        given = results
        steer(id) { |client, task_id, request| client.resolve(task_id, step, **given, **request) }
      end

      def all(client, request, &progress)
        client.resolve_all(**request, **failure_filter, **results, &progress)
      end

      def results
        { results: JsonArgument.new("--results", options.fetch(:results, "null")).read(input), take: options[:take] }
      end
    end
  end
end
