# frozen_string_literal: true

require_relative "command"

module TaskerCore
  class CLI
    # `tasker migrate`: brings the database's schema to a version.
    class Migrate < Command
      NAME = "migrate"
      SUMMARY = "create the tables or bring them to this version"
      DETAILS = <<~TEXT
        Runs what is missing in one transaction; where nothing is missing it changes nothing.
        With --to and a lower number it goes back, which deletes what the later tables hold.
      TEXT
      EXAMPLES = ["tasker migrate", "tasker migrate --to 0"].freeze

      # Numbers that can be a version; which of them there are is for the migrations to say.
      VERSIONS = (0..(2**31) - 1).freeze

      # Migrates.
      #
      # @return [Integer] exit status
      def call
        refuse("--to must be a version from 0, got #{options[:to]}") unless VERSIONS.cover?(options.fetch(:to, 0))
        report = connected { |client| client.migrate(version: options[:to]) }
        json? ? output.json(report) : show(report)
        OK
      end

      private

      def define_options(parser)
        parser.on("--to N", Integer, "version to reach (default: the latest)")
        json_option(parser)
      end

      def show(report)
        applied = report.fetch("applied")
        applied.each { |name| output.line("#{report["from"] > report["to"] ? "undid" : "applied"} #{name}") }
        output.line("schema is at version #{report["to"]}#{", nothing to do" if applied.empty?}")
      end
    end
  end
end
