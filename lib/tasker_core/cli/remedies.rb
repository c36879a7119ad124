# frozen_string_literal: true

require "shellwords"
require_relative "format"

module TaskerCore
  class CLI
    # What can be done about a step that does not go on by itself, as commands. Pure.
    module Remedies
      # What a command needs beyond task and step.
      MORE = { "resolve" => " --results JSON" }.freeze

      module_function

      # @param task_id [Integer]
      # @param step [String] its name
      # @param remedies [Array<String>] as the library names them
      # @return [Array<String>] one command each
      # @example
      #   Remedies.commands(42, "charge", ["retry"]) # => ["tasker retry 42 charge"]
      def commands(task_id, step, remedies)
        remedies.map { |remedy| Format.clean("tasker #{remedy} #{task_id} #{Shellwords.escape(step)}#{MORE[remedy]}") }
      end
    end
  end
end
