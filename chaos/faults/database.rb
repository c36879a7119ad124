# frozen_string_literal: true

require "pg"
require_relative "../application"
require_relative "../clock"
require_relative "../fault"

module Chaos
  module Faults
    # Postgres ends as if it had crashed, and is started again.
    class Restart < Fault
      # @return [String]
      def begin
        began = Chaos::Clock.now
        world.server.crash
        format("away for %.1f s", Chaos::Clock.now - began)
      end
    end

    # An operator ends some of the engine's sessions, and of the application's that have it write.
    class Terminate < Fault
      SESSIONS = <<~SQL.freeze
        SELECT pid FROM pg_stat_activity
        WHERE application_name IN ('tasker_core', '#{Application::NAME}') AND datname = current_database() ORDER BY pid
      SQL
      END_SESSION = "SELECT pg_terminate_backend($1)"

      # @return [String]
      def begin
        sessions = world.server.rows(SESSIONS).map { |row| row["pid"] }
        chosen = sessions.sample(random.rand(1..[sessions.size, 1].max), random: random)
        chosen.each { |pid| world.server.rows(END_SESSION, [pid]) }
        "#{chosen.size} of #{sessions.size} sessions"
      end
    end

    # The server refuses the engine's statements, or its commits, for some time: by a trigger of the harness that raises
    # what a table of the harness says.
    class Errors < Fault
      # Disk full, lock timeout, statement timeout, serialization failure, deadlock.
      CODES = %w[53100 55P03 57014 40001 40P01].freeze
      # Tables whose changes are refused: those of a claim or an end, of a heartbeat, of a new task; and, where they are
      # written, the commit.
      PLACES = %w[tasker_workflow_steps tasker_workers tasker_tasks commit].freeze
      TABLES = <<~SQL
        CREATE TABLE IF NOT EXISTS chaos.errors (place text NOT NULL, code text NOT NULL, share float NOT NULL);
        CREATE OR REPLACE FUNCTION chaos.fail() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE error text;
        BEGIN
          SELECT code INTO error FROM chaos.errors WHERE place = TG_ARGV[0] AND random() < share LIMIT 1;
          IF error IS NOT NULL THEN
            RAISE EXCEPTION 'an error of the harness' USING ERRCODE = error;
          END IF;
          RETURN NULL;
        END
        $$;
      SQL
      # A statement that changes nothing fails too, as it would on a full disk.
      STATEMENT = <<~SQL
        CREATE TRIGGER chaos_fail AFTER INSERT OR UPDATE ON %<table>s
        FOR EACH STATEMENT EXECUTE FUNCTION chaos.fail('%<table>s')
      SQL
      COMMIT = <<~SQL
        CREATE CONSTRAINT TRIGGER chaos_fail AFTER INSERT ON tasker_workflow_step_transitions
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION chaos.fail('commit')
      SQL

      class << self
        # @return [Range]
        def lasts
          1.0..4.0
        end

        # Makes the triggers, once in a database.
        #
        # @param server [Server]
        # @return [void]
        def prepare(server)
          connection = server.connect
          connection.exec(TABLES)
          (PLACES - ["commit"]).each { |table| connection.exec(format(STATEMENT, table: table)) }
          connection.exec(COMMIT)
        ensure
          connection&.close
        end
      end

      # @return [String]
      def begin
        place, @code = [PLACES, CODES].map { |all| all.sample(random: random) }
        share = place == "commit" ? random.rand(0.01..0.2) : random.rand(0.2..1.0)
        world.server.rows("INSERT INTO chaos.errors VALUES ($1, $2, $3)", [place, @code, share])
        format("%<code>s at %<place>s, %<share>d %%", code: @code, place: place, share: share * 100)
      end

      # @return [void]
      def finish
        world.server.rows("DELETE FROM chaos.errors WHERE code = $1", [@code])
      end
    end

    # An operator's session holds rows of tasks for longer than the engine's statements wait for a lock (5 s).
    class Locks < Fault
      HOLD = <<~SQL
        SELECT task_id FROM tasker_tasks WHERE finished_at IS NULL ORDER BY task_id LIMIT $1 FOR UPDATE SKIP LOCKED
      SQL
      # Most tasks that are held.
      MOST = 20

      # @return [Range]
      def self.lasts
        6.0..9.0
      end

      # @return [String]
      def begin
        @session = world.server.connect
        @session.exec("BEGIN")
        "#{@session.exec_params(HOLD, [random.rand(1..MOST)]).ntuples} tasks"
      rescue PG::Error => e
        "in vain: #{e.message.lines.first.strip}"
      end

      # @return [void]
      def finish
        @session&.close
      end
    end
  end
end
