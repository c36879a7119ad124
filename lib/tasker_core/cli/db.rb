# frozen_string_literal: true

require_relative "command"
require_relative "../internal/embedded_postgres"

module TaskerCore
  class CLI
    # `tasker db`: the embedded Postgres, for projects that have no database of their own.
    class Db < Command
      NAME = "db"
      SUMMARY = "start, stop or look at the embedded Postgres"
      ARGUMENTS = %w[start|stop|status|url|reset].freeze
      DETAILS = <<~TEXT
        The embedded Postgres is a private server made from the system's Postgres programs. It listens on a Unix
        socket only and keeps its data in TASKER_DATA_DIR.

          start   start it; the first time this makes an empty database
          stop    stop it, the data stays
          status  say whether it runs, and where its files are; exit status 1 when it does not run
          url     print its URL alone, for psql and DATABASE_URL
          reset   delete all its data and start empty; needs --force
      TEXT
      EXAMPLES = ["tasker db start", "psql \"$(tasker db url)\"", "tasker db reset --force"].freeze

      ACTIONS = %w[start stop status url reset].freeze

      # Does what the action says.
      #
      # @param action [String] one of {ACTIONS}
      # @return [Integer] exit status
      def call(action)
        unless ACTIONS.include?(action)
          refuse("unknown action #{action.inspect}#{Internal::Suggestion.sentence(action, ACTIONS)}")
        end

        send(action)
      end

      private

      def define_options(parser)
        parser.on("--force", "with reset: yes, delete all tasks and their history")
        json_option(parser)
      end

      def postgres
        @postgres ||= Internal::EmbeddedPostgres.new
      end

      def start
        report(postgres.start == :started ? "started" : "runs already")
      end

      def stop
        report(postgres.stop == :stopped ? "stopped" : "was not running")
      end

      def reset
        postgres.reset(force: options.fetch(:force, false))
        report("is empty and started")
      end

      def status
        report(postgres.status.running? ? "runs" : "does not run")
        postgres.status.running? ? OK : FAILED
      end

      def url
        json? ? output.json("url" => postgres.url) : output.line(postgres.url)
        OK
      end

      def report(what)
        status = postgres.status
        return json_report(status) if json?

        output.line("the embedded Postgres #{what}")
        output.pairs("version" => status.major, "pid" => status.pid, "url" => status.url,
                     "data" => status.data_folder, "log" => status.log)
        OK
      end

      def json_report(status)
        output.json("running" => status.running?, **status.to_h.transform_keys(&:to_s))
        OK
      end
    end
  end
end
