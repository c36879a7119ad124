# frozen_string_literal: true

require_relative "json_argument"
require_relative "steering_command"

module TaskerCore
  class CLI
    # `tasker resolve`: gives the results of a step.
    class Resolve < SteeringCommand
      NAME = "resolve"
      SUMMARY = "give the results of a step of a task"
      ARGUMENTS = %w[ID STEP].freeze
      DETAILS = <<~TEXT
        The step counts as complete for the steps that depend on it, with these results. An attempt that is running comes
        to nothing. A task that ended in error goes on. Who asked for it and why is kept in the history.
      TEXT
      EXAMPLES = [
        "tasker resolve 42 charge_card --results '{\"payment_id\": \"p-7\"}' --reason 'paid at the counter'",
        "tasker resolve 42 charge_card --results @payment.json",
        "tasker resolve 42 route --take ship_by_air,notify"
      ].freeze

      # Resolves the step.
      #
      # @param id [String] task id
      # @param step [String] name of a step
      # @return [Integer] exit status
      def call(id, step)
        results = JsonArgument.new("--results", options.fetch(:results, "null")).read(input)
        given = { results: results, take: options[:take] }
        steer(id) { |client, task_id, request| client.resolve(task_id, step, **given, **request) }
      end

      private

      def define_options(parser)
        parser.on("--results JSON|@FILE|-", "the step's results: JSON, a file, or standard input", "(default: null)")
        parser.on("--take NAMES", Array, "of a decision step: the branches that are taken, comma separated",
                  "('' takes none)")
        super
      end
    end
  end
end
