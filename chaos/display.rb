# frozen_string_literal: true

require "json"

module Chaos
  # Shows a run: on a terminal what happens while it happens, everywhere what came out.
  class Display
    # Faults that happened at one time are one line each; these numbers are one row each.
    ROWS = { "acknowledged" => "tasks acknowledged", "tasks" => "tasks", "steps" => "steps", "attempts" => "attempts",
             "executions" => "executions of handlers", "workers_buried" => "workers buried",
             "late_ends_refused" => "late ends refused", "connections" => "connections", "calls" => "calls of the client",
             "drained_s" => "seconds until all had ended", "violations" => "violations" }.freeze

    # @param output [TaskerCore::CLI::Output]
    # @param json [Boolean] the line for programs only
    def initialize(output, json:)
      @output = output
      @json = json
    end

    # @param settings [Run::Settings]
    # @param missing [Hash{String => String}] why some faults cannot happen here
    # @return [void]
    def begin(settings, missing)
      missing.each { |name, why| @output.note("chaos: without #{name}: #{why}; bin/setup --chaos installs it") }
      return if @json

      @output.line(format("seed %<seed>d, %<seconds>d s, %<processes>d worker processes, %<rate>.1f tasks/s",
                          settings.to_h.slice(:seed, :seconds, :processes, :rate)))
    end

    # @param kind [Symbol] :fault, :phase or :status
    # @param text [String]
    # @return [void]
    def tell(kind, text)
      return if @json || !@output.tty?

      @output.redraw(text)
      @output.line unless kind == :status
    end

    # @param report [Hash{String => Object}]
    # @return [void]
    def show(report)
      show_text(report) unless @json
      @output.line(JSON.generate(report))
      report.fetch("found").each { |violation| @output.note("chaos: violation: #{violation}") }
    end

    private

    def show_text(report)
      @output.redraw("") if @output.tty?
      @output.table(%w[FAULT TIMES], report.fetch("faults").sort, right: [1])
      @output.pairs(ROWS.to_h { |key, title| [title, words(report.fetch(key))] })
    end

    def words(value)
      return value.to_s unless value.is_a?(Hash)

      value.empty? ? "none" : value.map { |name, number| "#{number} #{name.tr("_", " ")}" }.join(", ")
    end
  end
end
