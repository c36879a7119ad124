# frozen_string_literal: true

require_relative "command"
require_relative "format"

module TaskerCore
  class CLI
    # `tasker templates validate`: checks YAML templates without a database.
    class TemplatesValidate < Command
      NAME = "templates validate"
      SUMMARY = "check YAML templates, with each of their environments"
      ARGUMENTS = %w[FILE...].freeze
      DETAILS = <<~TEXT
        Needs no database. With a Rails application (bin/tasker) handler classes are looked for as well, else no
        handlers are loaded. Each file is checked, also after one that was refused.
        Exit status 2 when a file was refused.
      TEXT
      EXAMPLES = ["tasker templates validate config/tasker/*.yaml"].freeze

      # Checks the files.
      #
      # @param files [Array<String>]
      # @return [Integer] exit status
      def call(*files)
        reports = files.map { |file| report_on(file) }
        json? ? output.json(reports) : reports.each { |report| show(report) }
        reports.all? { |report| report["ok"] } ? OK : REFUSED
      end

      private

      def define_options(parser)
        json_option(parser)
      end

      def report_on(file)
        template = TaskTemplate.load_file(file)
        HandlerRegistry.check(template) if application?
        { "file" => file, "ok" => true, "namespace" => template.namespace, "name" => template.name,
          "version" => template.version, "steps" => template.steps.size }
      rescue Error => e
        { "file" => file, "ok" => false, "error" => e.message, "details" => e.details }
      end

      def show(report)
        return output.note("tasker: #{output.style.mark(false)}  #{lines(report["error"])}") unless report["ok"]

        output.line("#{output.style.mark(true)}  #{Format.clean(report["file"])}: #{Format.clean(identity(report))}, " \
                    "#{Format.many(report["steps"], "step")}")
      end

      def identity(report)
        "#{report["namespace"]}/#{report["name"]} #{report["version"]}"
      end

      def lines(text)
        text.lines.map { |line| Format.clean(line.chomp) }.join("\n  ")
      end
    end
  end
end
