# frozen_string_literal: true

require_relative "command"
require_relative "format"
require_relative "remedies"
require_relative "task_report"

module TaskerCore
  class CLI
    # `tasker explain`: why a task or a step is where it is, in words, from what was recorded.
    class Explain < Command
      NAME = "explain"
      SUMMARY = "say in words what a task or step waits for, or why it ended"
      ARGUMENTS = %w[ID [STEP]].freeze
      DETAILS = "Without STEP it speaks of the task and of each step that is not complete."
      EXAMPLES = ["tasker explain 42", "tasker explain 42 charge_card", "tasker explain 42 --json"].freeze

      ATTEMPTS = %w[TRY OUTCOME TOOK WORKER STARTED ERROR].freeze
      HISTORY = %w[WHEN FROM TO CAUSE DETAIL].freeze

      # Writes the explanation.
      #
      # @param id [String] task id
      # @param step [String, nil] name of a step
      # @return [Integer] exit status
      def call(id, step = nil)
        task_id = id_from(id)
        story = connected { |client| client.explain(task_id, step: step) }
        json? ? output.json(story) : show(story)
        OK
      end

      private

      def define_options(parser)
        json_option(parser)
      end

      def show(story)
        heading("task #{story["task_id"]}", story)
        story.fetch("steps").each { |step| show_step(step, story["task_id"]) }
        more = story.fetch("more_steps")
        return unless more.positive?

        output.line
        output.line("and #{Format.many(more, "step")} more that have not completed: tasker explain " \
                    "#{story["task_id"]} STEP, tasker failures")
      end

      def show_step(step, task_id)
        output.line
        heading("step #{Format.clean(step["name"])}", step)
        commands = Remedies.commands(task_id, step["name"], step["remedies"])
        output.line("  to have it go on: #{commands.join(" | ")}") if commands.any?
        section("Attempts", ATTEMPTS, Array(step["attempts"]).map { |attempt| attempt_row(attempt) })
        section("History", HISTORY, Array(step["history"]).map { |change| change_row(change) })
      end

      def heading(title, story)
        output.line("#{output.style.bold(title)}  #{output.style.state(story["state"])}")
        story["summary"].to_s.each_line { |line| output.line("  #{Format.clean(line.chomp)}") }
      end

      def section(title, header, rows)
        return if rows.empty?

        output.line
        output.line(output.style.bold(title))
        output.table(header, rows)
      end

      def attempt_row(attempt)
        milliseconds = attempt["execution_ms"]
        [attempt["attempt"], Format.clean(attempt["outcome"] || "running"),
         Format.duration(milliseconds && (milliseconds / 1000.0)), Format.clean(attempt["worker"]),
         Format.moment(attempt["claimed_at"], exact: true), error_text(attempt["error"])]
      end

      def error_text(error)
        return Format::NOTHING unless error

        said = [error, *error["causes"]].map { |one| one.values_at("class", "message").compact.join(": ") }
        code = " [#{error["code"]}]" if error["code"]
        Format.clean("#{said.join("; caused by ")}#{code}")
      end

      def change_row(change)
        words = change.values_at("from", "to", "cause").map { |word| Format.clean(word || Format::NOTHING) }
        [Format.moment(change["at"], exact: true), *words, Format.facts(change["detail"])]
      end
    end
  end
end
