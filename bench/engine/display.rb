# frozen_string_literal: true

module Bench
  # Writes reports: a table for people, and the line for programs.
  class Display
    # @param output [TaskerCore::CLI::Output]
    # @param json [Boolean] the line for programs only
    def initialize(output, json:)
      @output = output
      @json = json
    end

    # @param report [Report]
    # @return [void]
    def show(report)
      show_text(report) unless @json
      @output.line(report.json)
      report.problems.each { |problem| @output.note("bench: inconsistent: #{problem}") }
    end

    private

    def show_text(report)
      @output.line(report.title)
      return unless report.consistent?

      runs = Array.new(report.rows.first.size - 2) { |run| "RUN #{run + 1}" }
      header = ["MEASURE", runs.empty? ? "VALUE" : "MEDIAN", *runs]
      @output.table(header, report.rows, right: (1...header.size).to_a)
      report.parts.each { |parts| show_parts(parts) }
    end

    def show_parts(parts)
      rows = parts.each_with_index.map { |part, number| [number + 1, *part.values] }
      numbers = (0..parts.first.size).reject { |column| rows.first[column].is_a?(String) }
      @output.table(["PART", *parts.first.keys.map(&:upcase)], rows, right: numbers)
    end
  end
end
