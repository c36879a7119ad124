# frozen_string_literal: true

require "json"
require "pg"
require "securerandom"
require_relative "clock"

module Chaos
  # What handlers really did, in a table of the harness beside the engine's: a row for each execution, written over a
  # connection of its own straight to the server, which no fault but the server's own end meets. Each thread has one.
  # Times are nanoseconds of the machine's monotonic clock, which is the same in all processes.
  class Ledger
    # Seconds that a handler waits for the server.
    PATIENCE = 120
    # Seconds between two tries.
    PAUSE = 0.05
    TABLE = <<~SQL
      CREATE SCHEMA IF NOT EXISTS chaos;
      CREATE TABLE chaos.ledger (
        execution uuid PRIMARY KEY, task_id bigint NOT NULL, step_id bigint NOT NULL, attempt int NOT NULL,
        pid int NOT NULL, started_ns bigint NOT NULL, finished_ns bigint, outcome text,
        product json
      );
      CREATE INDEX ON chaos.ledger (task_id);
    SQL
    BEGUN = "INSERT INTO chaos.ledger VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING"
    NOTED = "UPDATE chaos.ledger SET product = $2 WHERE execution = $1"
    COUNTED = "SELECT count(*) FROM chaos.ledger WHERE step_id = $1"
    ENDED = "UPDATE chaos.ledger SET finished_ns = $2, outcome = $3, product = $4 WHERE execution = $1"

    # @param url [String] of the database
    def initialize(url)
      @url = url
    end

    # Records that an execution begins.
    #
    # @param task_id [Integer]
    # @param step_id [Integer]
    # @param attempt [Integer]
    # @return [String] the execution's id
    def begin(task_id, step_id, attempt)
      execution = SecureRandom.uuid
      write(BEGUN, [execution, task_id, step_id, attempt, Process.pid, Clock.now_ns])
      execution
    end

    # Records how far it has come.
    #
    # @param execution [String]
    # @param product [Object]
    # @return [void]
    def note(execution, product)
      write(NOTED, [execution, JSON.generate(product)])
    end

    # @param step_id [Integer]
    # @return [Integer] how often the step was executed so far, also in attempts that others have ended
    def executions(step_id)
      write(COUNTED, [step_id]).first.fetch("count").to_i
    end

    # Records how it ends, before the engine is told.
    #
    # @param execution [String]
    # @param outcome [String]
    # @param product [Object] what the handler made. Default nil.
    # @return [void]
    def end(execution, outcome, product = nil)
      write(ENDED, [execution, Clock.now_ns, outcome, product && JSON.generate(product)])
    end

    private

    # Each statement may be repeated: whether one that failed was committed is not known.
    def write(statement, values)
      deadline = Clock.now + PATIENCE
      begin
        connection.exec_params(statement, values)
      rescue PG::Error
        forget
        raise if Clock.now > deadline

        sleep(PAUSE)
        retry
      end
    end

    def connection
      Thread.current.thread_variable_get(:chaos_ledger) ||
        PG.connect(@url, application_name: "chaos_ledger").tap { |one| remember(one) }
    end

    def forget
      Thread.current.thread_variable_get(:chaos_ledger)&.close
      remember(nil)
    end

    def remember(connection)
      Thread.current.thread_variable_set(:chaos_ledger, connection)
    end
  end
end
