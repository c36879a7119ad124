# frozen_string_literal: true

require_relative "../internal/program_checks"
require_relative "age"
require_relative "command"
require_relative "format"
require_relative "loader"

module TaskerCore
  class CLI
    # `tasker doctor`: recomputes what the database keeps and compares, looks whether what tasks need is here, and says
    # what slows the engine down.
    class Doctor < Command
      NAME = "doctor"
      SUMMARY = "recompute all counters and states; report what differs or slows down"
      DETAILS = <<~TEXT
        Changes nothing. Exit status 1 when something differs, or a template of a Rails application, or of -r, cannot be
        loaded or lacks the class of a handler.

        Warns of what makes the engine slow: sessions with a transaction that is open for more than a minute,
        prepared transactions and replication slots that keep dead rows from being removed, and tables with more
        dead rows than live ones; of a connection pooler that shares sessions, and Active Record behind it; of a clock
        that differs from the database's; of fewer connections of Active Record's than threads of a worker; and of
        encryption keys and, where handlers are loaded (-r, or a Rails application), of handlers that tasks need and
        that are not here. Each comes with what to do about it. Warnings do not change the exit status.
      TEXT
      EXAMPLES = ["tasker doctor", "tasker doctor -r config/tasker.rb",
                  "tasker doctor --json | jq '.checks[] | select(.ok | not)'",
                  "tasker doctor --json | jq -e '.warnings == []'"].freeze

      # What to do about a database that does not answer.
      NO_DATABASE = "start it, or name another one: --database-url, DATABASE_URL, config/tasker.yml, in a Rails " \
                    "application config/database.yml"
      # Titles of the columns.
      HEADER = %w[RESULT FOUND CHECK DETAIL].freeze

      # Writes the checks and what they found.
      #
      # @return [Integer] exit status
      def call
        Loader.load(options.fetch(:require, []))
        report = connected do |client|
          Internal::ProgramChecks.new(client, loaded: options.key?(:require)).complete(client.doctor(**thresholds))
        end
        json? ? output.json(report) : show(report)
        report.fetch("ok") ? OK : FAILED
      rescue DatabaseUnavailable => e
        raise DatabaseUnavailable.new("#{e.message}; #{NO_DATABASE}", details: e.details)
      end

      private

      def define_options(parser)
        parser.on("--old-transaction AGE", "warn of transactions open for longer, such as 30s or 5m",
                  "(default: 60s)")
        require_option(parser)
        json_option(parser)
      end

      def thresholds
        text = options[:"old-transaction"]
        text ? { old_transaction: Age.seconds("--old-transaction", text) } : {}
      end

      def show(report)
        rows = report.fetch("checks").map { |check| row(check) }
        output.table(HEADER, rows, right: [1])
        output.line(report.fetch("ok") ? "everything agrees" : "something is wrong: see the failed checks above")
        report.fetch("checks").each { |check| show_advice(check) }
        show_warnings(report.fetch("warnings"))
      end

      def row(check)
        [output.style.mark(check["ok"]), Format.count(check["found"]), Format.clean(check["name"]),
         Format.clean(check["detail"])]
      end

      def show_warnings(warnings)
        return if warnings.empty?

        output.line("#{Format.many(warnings.size, "warning")}:")
        warnings.each do |warning|
          output.line("  #{Format.clean(warning["detail"])}")
          show_advice(warning)
        end
      end

      def show_advice(finding)
        return unless finding["advice"]

        output.line("    #{output.style.faint("what to do:")} #{Format.clean(finding["advice"])}")
      end
    end
  end
end
