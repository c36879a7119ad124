# frozen_string_literal: true

require_relative "command"
require_relative "loader"

module TaskerCore
  class CLI
    # A command by which a person decides what a step waits for.
    class DecisionCommand < Command
      ARGUMENTS = %w[ID STEP].freeze

      # Sends the decision.
      #
      # @param id [String] task id
      # @param step [String] its name
      # @return [Integer] exit status
      def call(id, step)
        task_id = id_from(id)
        Loader.load(options.fetch(:require, []))
        by = options.fetch(:by) { actor }
        signal_id = connected { |client| decide(client, task_id, step, by: by, comment: options[:comment]) }
        decision = { "task_id" => task_id, "step" => step, "by" => by, "signal_id" => signal_id }
        json? ? output.json(decision) : output.line("#{by} #{self.class::DONE} #{step} of task #{task_id}")
        OK
      end

      private

      def define_options(parser)
        parser.on("--by WHO", "who decides (default: the user of this command line)")
        parser.on("--comment TEXT", "why (default: none)")
        require_option(parser)
        json_option(parser)
      end
    end
  end
end
