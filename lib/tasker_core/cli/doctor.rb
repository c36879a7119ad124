# frozen_string_literal: true

require_relative "command"
require_relative "format"

module TaskerCore
  class CLI
    # `tasker doctor`: recomputes what the database keeps and compares.
    class Doctor < Command
      NAME = "doctor"
      SUMMARY = "recompute every counter and state from scratch and report what differs"
      DETAILS = "Changes nothing. Exit status 1 when something differs."
      EXAMPLES = ["tasker doctor", "tasker doctor --json | jq '.checks[] | select(.ok | not)'"].freeze

      # Titles of the columns.
      HEADER = %w[RESULT FOUND CHECK DETAIL].freeze

      # Writes the checks and what they found.
      #
      # @return [Integer] exit status
      def call
        report = connected(&:doctor)
        json? ? output.json(report) : show(report)
        report.fetch("ok") ? OK : FAILED
      end

      private

      def define_options(parser)
        json_option(parser)
      end

      def show(report)
        rows = report.fetch("checks").map { |check| row(check) }
        output.table(HEADER, rows, right: [1])
        output.line(report.fetch("ok") ? "everything agrees" : "something is wrong: see the failed checks above")
      end

      def row(check)
        [output.style.mark(check["ok"]), Format.count(check["found"]), Format.clean(check["name"]),
         Format.clean(check["detail"])]
      end
    end
  end
end
