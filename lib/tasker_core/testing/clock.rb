# frozen_string_literal: true

require "time"
require "uri"
require_relative "../errors"
require_relative "../internal/check"
require_relative "../internal/search_path"

module TaskerCore
  module Testing
    # The engine's clock, which is that of the database, put ahead: functions of a schema of their own stand before
    # Postgres' in the search path of the engine's connections. Other connections have the time as it is.
    #
    # What a handler asks Ruby for is not put ahead: `Time.now` is that of the process.
    class Clock
      # Schema of the functions.
      SCHEMA = "tasker_clock"
      # Farthest that it can be put ahead, in seconds: 10 years.
      FARTHEST = 10 * 366 * 86_400
      # Folder of the statements.
      SQL = File.join(__dir__, "sql")
      private_constant :SQL

      # @param run [#call] runs a statement of ours, with its parameters, and brings rows. Default: a connection to the
      #   database of the configuration.
      # @yieldparam parameter [String] of a URL, with which the engine is to connect
      def initialize(run: nil, &use)
        @run = run || method(:execute)
        @use = use || method(:configure)
        @installed = false
      end

      # Has the engine's next connections ask this clock.
      #
      # @return [void]
      def install
        return if @installed

        @run.call(statement("install_clock"), [])
        path = @run.call("SELECT pg_catalog.current_setting('search_path')", []).first.first
        @use.call(Internal::SearchPath.parameter("#{SCHEMA}, pg_catalog, #{path}"))
        @installed = true
      end

      # @param seconds [Numeric]
      # @return [void]
      def advance(seconds)
        Internal::Check.within(seconds, "seconds", 0..FARTHEST)
        install
        @run.call("UPDATE tasker_clock.ahead SET by = by + interval '1 second' * $1", [seconds.to_f])
      end

      # @param time [#to_time]
      # @return [void]
      # @raise [InvalidArgument]
      def travel_to(time)
        Internal::Check.refuse("time", time, "a Time") unless time.respond_to?(:to_time)
        install
        now = Time.at(@run.call("SELECT extract(epoch FROM tasker_clock.clock_timestamp())", []).first.first.to_r)
        seconds = time.to_time - now
        seconds.negative? ? refuse_earlier(time, now) : advance(seconds)
      end

      # The clock shows the time again as it is.
      #
      # @return [void]
      def reset
        @run.call("UPDATE tasker_clock.ahead SET by = interval '0'", []) if @installed
      end

      # @param task_id [Integer]
      # @return [Float, nil] seconds until the first step of the task, or of one that its steps run, can go on by the
      #   time alone; nil: none can
      def next_due_in(task_id)
        due = statement("next_due")
        due = due.gsub("statement_timestamp()", "#{SCHEMA}.statement_timestamp()") if @installed
        seconds, = @run.call(due, [Internal::Check.id(task_id)]).first
        seconds && [seconds.to_f, 0.0].max
      end

      private

      def refuse_earlier(time, now)
        Internal::Check.refuse("time", time, "one that is not before that of the engine's clock, #{now.getutc.inspect}")
      end

      def statement(name)
        File.read(File.join(SQL, "#{name}.sql"))
      end

      def configure(parameter)
        uri = URI.parse(TaskerCore.client.url)
        uri.query = [uri.query, parameter].compact.join("&")
        TaskerCore.configure { |c| c.database_url = uri.to_s }
      end

      # The install statement is several, which no parameters can go with.
      def execute(sql, parameters)
        require "pg"
        connection = PG.connect(TaskerCore.client.url)
        connection.set_notice_processor { nil }
        (parameters.empty? ? connection.exec(sql) : connection.exec_params(sql, parameters)).values
      rescue LoadError
        raise ConfigurationError, "tests with a worker need the gem pg; add it to the Gemfile"
      rescue PG::Error => e
        raise DatabaseError, "the engine's clock in tests: #{e.message.strip}"
      ensure
        connection&.close
      end
    end
  end
end
