# frozen_string_literal: true

require_relative "steering_command"

module TaskerCore
  class CLI
    # `tasker budget`: raises the budget of a task.
    class Budget < SteeringCommand
      NAME = "budget"
      SUMMARY = "raise the budget of a task"
      ARGUMENTS = %w[ID].freeze
      DETAILS = <<~TEXT
        The steps that the budget kept from being started are tried again, and a task that ended in error goes on. What was
        used up so far counts. Who asked for it and why is kept in the history.
      TEXT
      EXAMPLES = ["tasker budget 42 --attempts 400 --reason 'the bank was down'", "tasker budget 42 --cost 20"].freeze

      # Raises the budget.
      #
      # @param id [String] task id
      # @return [Integer] exit status
      def call(id)
        limits = options.slice(:attempts, :cost)
        refuse("say how much: --attempts N, --cost X or both") if limits.empty?
        steer(id) { |client, task_id, request| client.raise_budget(task_id, **limits, **request) }
      end

      private

      def define_options(parser)
        parser.on("--attempts N", Integer, "attempts of all steps together")
        parser.on("--cost X", Float, "what all attempts spend together")
        super
      end
    end
  end
end
