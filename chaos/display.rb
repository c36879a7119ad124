# frozen_string_literal: true

require "json"

module Chaos
  # Shows a run: on a terminal what happens while it happens, everywhere what came out.
  class Display
    # What is shown otherwise than as a line of its own.
    APART = %w[faults kinds found].freeze

    # @param output [TaskerCore::CLI::Output]
    # @param json [Boolean] the line for programs only
    def initialize(output, json:)
      @output = output
      @json = json
    end

    # @param title [String] what is done
    # @param missing [Hash{String => String}] why some of it cannot happen here
    # @return [void]
    def begin(title, missing)
      missing.each { |name, why| @output.note("chaos: without #{name}: #{why}; bin/setup --chaos installs it") }
      @output.line(title) unless @json
    end

    # @param kind [Symbol] :fault and :phase are lines that stay, :status is replaced by the next one
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
      @output.table(%w[FAULT TIMES], report["faults"].sort, right: [1]) if report["faults"]
      @output.table(%w[VIOLATION TIMES], report["kinds"].to_a, right: [1]) if report["kinds"]&.any?
      @output.pairs(report.except(*APART).to_h { |name, value| [name.tr("_", " "), words(value)] })
    end

    def words(value)
      return value.to_s unless value.is_a?(Hash)

      value.empty? ? "none" : value.map { |name, number| "#{number} #{name.to_s.tr("_", " ")}" }.join(", ")
    end
  end
end
