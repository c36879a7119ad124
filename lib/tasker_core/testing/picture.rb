# frozen_string_literal: true

require_relative "../cli/style"

module TaskerCore
  module Testing
    # The state of a task's graph as text, for messages of tests that fail.
    module Picture
      # Bytes of a message that are shown.
      LONGEST = 120

      module_function

      # @param task_id [Integer]
      # @return [String] a line for the task, and one for each step
      # @example
      #   puts TaskerCore::Testing::Picture.of(42)
      def of(task_id)
        result = TaskerCore.result(task_id)
        style = CLI::Style.new(colour: false)
        head = "task #{task_id}: #{style.state(result.state)}"
        [head, *result.steps.map { |step| "  #{line(step, style)}" }].join("\n")
      end

      # @api private
      def line(step, style)
        [style.state(step.state).ljust(20), step.name, attempts(step), failure(step)].compact.join(" ")
      end

      # @api private
      def attempts(step)
        case step.attempts
        when 0 then ("after #{step.depends_on.join(", ")}" if step.depends_on.any?)
        when 1 then "(1 attempt)"
        else "(#{step.attempts} attempts)"
        end
      end

      # @api private
      def failure(step)
        step.error && "#{step.error["class"]}: #{step.error["message"]}".lines.first.chomp[0, LONGEST]
      end
    end
  end
end
