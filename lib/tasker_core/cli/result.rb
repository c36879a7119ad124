# frozen_string_literal: true

require "json"
require_relative "command"
require_relative "format"
require_relative "task_report"

module TaskerCore
  class CLI
    # `tasker result`: what the steps of a task gave.
    class Result < Command
      NAME = "result"
      SUMMARY = "show what each step of a task gave"
      ARGUMENTS = %w[ID [STEP]].freeze
      DETAILS = <<~TEXT
        With STEP it writes that step's results alone, as JSON.
        Exit status 1 when the task ended in error, was cancelled or is blocked.
      TEXT
      EXAMPLES = ["tasker result 42", "tasker result 42 ship_order", "tasker result 42 --json"].freeze

      # Titles of the columns.
      HEADER = %w[STEP STATE TRIES TOOK RESULTS].freeze

      # Writes the results.
      #
      # @param id [String] task id
      # @param step [String, nil] name of a step
      # @return [Integer] exit status
      def call(id, step = nil)
        task_id = id_from(id)
        result = connected { |client| client.result(task_id) }
        write(result, step)
        TaskReport.exit_status(result.state)
      end

      private

      def define_options(parser)
        json_option(parser)
      end

      def write(result, step)
        return output.json(result.results_of(step)) if step
        return output.json(result.to_h) if json?

        output.line("#{output.style.bold("task #{result.task_id}")}  #{output.style.state(result.state)}")
        output.table(HEADER, result.steps.map { |one| row(one) }, right: [2, 3])
      end

      def row(step)
        milliseconds = step.execution_ms
        [Format.clean(step.name), output.style.state(step.state), Format.count(step.attempts),
         Format.duration(milliseconds && (milliseconds / 1000.0)), outcome(step)]
      end

      def outcome(step)
        return items(step.items) if step.items && !step.complete?
        return Format.json_line(step.results) unless step.error

        output.style.paint(Format.clean(step.error.values_at("class", "message").compact.join(": ")), :red)
      end

      def items(by_state)
        "#{Format.count(by_state.values.sum)} items: " +
          by_state.sort.map { |state, count| "#{Format.count(count)} #{state}" }.join(", ")
      end
    end
  end
end
