# frozen_string_literal: true

require_relative "command"
require_relative "format"

module TaskerCore
  class CLI
    # `tasker templates list`: what can be submitted.
    class TemplatesList < Command
      NAME = "templates list"
      SUMMARY = "list the templates that the database knows"
      EXAMPLES = ["tasker templates list", "tasker templates list --json | jq -r '.[].name'"].freeze

      # Titles of the columns.
      HEADER = %w[NAMESPACE NAME VERSION STEPS DESCRIPTION].freeze

      # Writes the templates.
      #
      # @return [Integer] exit status
      def call
        templates = connected(&:templates)
        json? ? output.json(templates) : show(templates)
        OK
      end

      private

      def define_options(parser)
        json_option(parser)
      end

      def show(templates)
        return output.line("no templates; a worker registers those that it loads") if templates.empty?

        output.table(HEADER, templates.map { |template| row(template) }, right: [3])
      end

      def row(template)
        [*template.values_at("namespace", "name", "version").map { |text| Format.clean(text) },
         Format.count(template["steps"]), Format.clean(template["description"])]
      end
    end
  end
end
