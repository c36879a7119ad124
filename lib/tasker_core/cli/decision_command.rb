# frozen_string_literal: true

require_relative "command"
require_relative "loader"

module TaskerCore
  class CLI
    # A command by which a person decides what a step waits for: the client's method of the command's name.
    class DecisionCommand < Command
      ARGUMENTS = %w[ID STEP].freeze
      DETAILS = <<~TEXT
        A step that is approved is complete; its results say by whom, when and with which comment. One that is rejected ends
        in error, with the code REJECTED. What was decided first counts: a second decision is refused, and one about a step
        that waits for none. A step whose turn has not come may be decided; where its handler is a class of the
        application, -r loads it.
      TEXT

      # Sends the decision.
      #
      # @param id [String] task id
      # @param step [String] its name
      # @return [Integer] exit status
      def call(id, step)
        task_id = id_from(id)
        Loader.load(options.fetch(:require, []))
        by = options.fetch(:by) { actor }
        signal_id = connected do |client|
          client.public_send(self.class::NAME, task_id, step, by: by, comment: options[:comment])
        end
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
