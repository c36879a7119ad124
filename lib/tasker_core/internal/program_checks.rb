# frozen_string_literal: true

require_relative "../errors"
require_relative "../handler_registry"
require_relative "handler_connections"
require_relative "masked_url"
require_relative "worker_options"

module TaskerCore
  module Internal
    # What `tasker doctor` finds beside what the database says of itself: whether templates and handlers are here, and
    # whether Active Record is set up as workers need it.
    class ProgramChecks
      # Most handlers that a warning names.
      MOST_NAMES = 5
      # What is to be done about templates and handlers.
      ADVICE = {
        templates: "correct the files, or deploy the classes; a template whose class is missing can be submitted " \
                   "afterwards, one that is not understood keeps all of them from being loaded",
        handlers: "load the files that define them (-r FILE), or deploy them; a worker that lacks one blocks its " \
                  "step: afterwards, tasker retry --all --error TaskerCore::HandlerNotFound",
        pool_size: HandlerConnections::ADVICE,
        prepared_statements: "set prepared_statements: false and advisory_locks: false in config/database.yml"
      }.freeze
      private_constant :MOST_NAMES, :ADVICE

      # @param client [Client]
      # @param loaded [Boolean] whether this process has loaded handlers
      def initialize(client, loaded:)
        @client = client
        @loaded = loaded || templates_here ? true : false
      end

      # @param report [Hash{String => Object}] as from {Client#doctor}
      # @return [Hash{String => Object}] the same with what was found here
      # @example
      #   ProgramChecks.new(client, loaded: true).complete(client.doctor)["warnings"]
      def complete(report)
        checks = [database, templates, *report.fetch("checks")].compact
        warnings = [*report.fetch("warnings"), handlers(report.fetch("handlers")), pool_size,
                    (prepared_statements if report.fetch("warnings").any? { |one| one["name"] == "shared_sessions" })]
        { **report, "ok" => checks.all? { |check| check.fetch("ok") }, "checks" => checks,
                    "warnings" => warnings.compact }
      end

      private

      # Whoever has got so far has a database with the right tables.
      def database
        { "name" => "database", "ok" => true, "found" => 0,
          "detail" => "#{MaskedUrl.of(@client.url)} answers, and has the tables of version #{@client.schema_version}" }
      end

      def templates_here
        Engine.templates if defined?(TaskerCore::Engine)
      end

      def templates
        return unless @loaded

        wrong = [*wrong_files, *set_aside].uniq
        place = templates_here ? "file in #{templates_here.folder}" : "template"
        check = { "name" => "templates", "ok" => wrong.empty?, "found" => wrong.size,
                  "detail" => ["each #{place} can be loaded", *wrong].join("; ") }
        wrong.empty? ? check : { **check, "advice" => ADVICE.fetch(:templates) }
      end

      def wrong_files
        return [] unless templates_here

        templates_here.problems.map { |file, problem| problem.start_with?(file) ? problem : "#{file}: #{problem}" }
      end

      def set_aside
        TaskerCore.registry.aside.values.map(&:message)
      rescue Error => e
        [e.message]
      rescue StandardError, ScriptError # By a file of the application, which is named by itself.
        []
      end

      def handlers(needed)
        missing = @loaded ? needed.reject { |handler| here?(handler.fetch("handler_class")) } : []
        return if missing.empty?

        warning(:handlers, "tasks that have not ended need handlers that are not here: #{named(missing)}",
                { "handlers" => missing })
      end

      def here?(name)
        HandlerRegistry.resolve(name)
        true
      rescue HandlerNotFound
        false
      end

      def named(missing)
        names = missing.first(MOST_NAMES).map do |handler|
          name, step, namespace, template, version = handler.values_at("handler_class", "step", "namespace", "name",
                                                                       "version")
          "#{name} (step #{step} of #{namespace}/#{template} #{version})"
        end
        more = missing.size - MOST_NAMES
        names.join(", ") + (more.positive? ? " and #{more} more" : "")
      end

      def pool_size
        threads = WorkerOptions.new(**TaskerCore.configuration.worker).concurrency
        shortage = HandlerConnections.shortage(threads) or return

        warning(:pool_size, shortage, { "threads" => threads, "connections" => HandlerConnections.pool.size })
      end

      def prepared_statements
        settings = HandlerConnections.pool&.db_config&.configuration_hash
        return if settings.nil? || settings[:prepared_statements].to_s == "false"
        return unless ActiveRecordDatabase.url(TaskerCore.configuration.database) == @client.url

        warning(:prepared_statements, "Active Record prepares statements, and the pooler gives their sessions to " \
                                      "others: queries of handlers, and submits in transactions, fail now and then", {})
      rescue ConfigurationError # Its database is no Postgres.
        nil
      end

      def warning(name, detail, facts)
        { "name" => name.name, "detail" => detail, "advice" => ADVICE.fetch(name), "facts" => facts }
      end
    end
  end
end
