# frozen_string_literal: true

require "uri"
require_relative "../errors"
require_relative "../internal/check"

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
      # Makes the functions, and has the tables ask them.
      INSTALL = <<~SQL
        CREATE SCHEMA IF NOT EXISTS tasker_clock;
        CREATE TABLE IF NOT EXISTS tasker_clock.ahead (by interval NOT NULL);
        INSERT INTO tasker_clock.ahead SELECT interval '0' WHERE NOT EXISTS (SELECT FROM tasker_clock.ahead);
        DO $install$
        DECLARE name text; item record;
        BEGIN
          FOREACH name IN ARRAY '{now,statement_timestamp,transaction_timestamp,clock_timestamp}'::text[] LOOP
            EXECUTE format('CREATE OR REPLACE FUNCTION tasker_clock.%I() RETURNS timestamptz LANGUAGE sql %s AS '
              '$$ SELECT pg_catalog.%I() + (SELECT by FROM tasker_clock.ahead) $$', name,
              CASE name WHEN 'clock_timestamp' THEN 'VOLATILE' ELSE 'STABLE' END, name);
          END LOOP;
          FOR item IN
            SELECT c.oid::regclass AS relation, a.attname AS attribute
            FROM pg_catalog.pg_class c
            JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
            JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
            WHERE c.relname LIKE 'tasker\\_%' AND c.relkind IN ('r', 'p')
              AND pg_catalog.pg_get_expr(d.adbin, d.adrelid) = 'now()'
          LOOP
            EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT tasker_clock.now()', item.relation, item.attribute);
          END LOOP;
        END $install$;
      SQL
      private_constant :INSTALL

      # @param url [String] of the database that the engine uses
      def initialize(url)
        @url = url
        @installed = false
      end

      # Has the engine's next connections ask this clock.
      #
      # @return [void]
      def install
        return if @installed

        url = url_with_clock
        TaskerCore.configure { |c| c.database_url = url }
        @installed = true
      end

      # @param seconds [Numeric]
      # @return [void]
      def advance(seconds)
        Internal::Check.within(seconds, "seconds", 0..FARTHEST)
        install
        execute("UPDATE tasker_clock.ahead SET by = by + interval '1 second' * #{seconds.to_f}")
      end

      # The clock shows the time again as it is.
      #
      # @return [void]
      def reset
        execute("UPDATE tasker_clock.ahead SET by = interval '0'") if @installed
      end

      # @param task_id [Integer]
      # @return [Float, nil] seconds until the first step of the task, or of one that its steps run, can go on by the
      #   time alone; nil: none can
      def next_due_in(task_id)
        seconds, = execute(<<~SQL).first
          WITH RECURSIVE family AS (
            SELECT #{Internal::Check.id(task_id)}::bigint AS task_id
            UNION
            SELECT c.task_id FROM tasker_child_tasks c JOIN family f ON c.parent_step_id >> 20 = f.task_id
          )
          SELECT extract(epoch FROM min(r.available_at) - #{@installed ? SCHEMA : "pg_catalog"}.statement_timestamp())
          FROM family f
          JOIN tasker_ready_steps r
            ON r.workflow_step_id >= f.task_id << 20 AND r.workflow_step_id < (f.task_id + 1) << 20
          WHERE r.queue IS NOT NULL AND r.available_at < '9999-01-01'
        SQL
        seconds && [seconds.to_f, 0.0].max
      end

      private

      def url_with_clock
        path = execute("#{INSTALL}SELECT pg_catalog.current_setting('search_path')").first.first
        uri = URI.parse(@url)
        options = URI.encode_www_form_component("-csearch_path=#{"#{SCHEMA},pg_catalog,#{path}".delete(" ")}")
        uri.query = [uri.query, "options=#{options.gsub("+", "%20")}"].compact.join("&")
        uri.to_s
      end

      def execute(sql)
        require "pg"
        connection = PG.connect(@url)
        connection.exec("SET client_min_messages TO warning")
        connection.exec(sql).values
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
