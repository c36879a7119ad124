# frozen_string_literal: true

require "pg"
require "timeout"

module Chaos
  # What transactional handlers do: a row for each, in a table of the harness, written in the transaction that records
  # the end of the attempt. Each thread has a connection of its own, on which the faults of its worker's host are met.
  class Effects
    TABLE = "CREATE TABLE chaos.effects (step_id bigint NOT NULL, attempt int NOT NULL)"
    WRITTEN = "INSERT INTO chaos.effects VALUES ($1, $2)"
    TEMPLATE = "effective"
    # Names of the parents by name of the step, parents first.
    GRAPH = { "effect0" => [], "effect1" => ["effect0"], "effect2" => ["effect0"],
              "after" => %w[effect1 effect2] }.freeze
    STEP = /\Aeffect/
    # Name of the class of its handlers.
    HANDLER = "Chaos::EffectiveHandler"
    # How often a step is tried: whatever becomes of a connection fails an attempt.
    RETRY_LIMIT = 200
    # The server ends a transaction of which it has not heard for longer than handlers take.
    LIMITED = "SET LOCAL idle_in_transaction_session_timeout = '20s'"
    # Seconds that a statement, or a connection, is waited for.
    PATIENCE = 5

    # A connection that waits for nobody for ever.
    module Patient
      # @return [PG::Result]
      def exec(...)
        Timeout.timeout(PATIENCE) { super }
      end

      # @return [PG::Result]
      def exec_params(...)
        Timeout.timeout(PATIENCE) { super }
      end
    end

    class << self
      # @param step [String] its name
      # @return [Boolean] whether its handler is transactional
      # @example
      #   Effects.of?("effect1") # => true
      def of?(step)
        STEP.match?(step)
      end
    end

    # @param url [String] of the database, as the worker's host reaches it
    def initialize(url)
      @url = url
    end

    # @return [PG::Connection, nil] of this thread, in no transaction; nil in threads that execute no steps
    def connection
      return if Thread.current == Thread.main

      known = Thread.current.thread_variable_get(:chaos_effects)
      return known if known && usable?(known)

      known.close if known && !known.finished?
      made = Timeout.timeout(PATIENCE) { PG.connect(@url, connect_timeout: PATIENCE) }.extend(Patient)
      Thread.current.thread_variable_set(:chaos_effects, made)
      made
    end

    # In the transaction.
    #
    # @param step [TaskerCore::Step]
    # @return [void]
    def have(step)
      connection = Thread.current.thread_variable_get(:chaos_effects)
      connection.exec(LIMITED)
      connection.exec_params(WRITTEN, [step.step_id, step.attempt])
    end

    private

    def usable?(connection)
      !connection.finished? && connection.status == PG::CONNECTION_OK &&
        connection.transaction_status == PG::PQTRANS_IDLE
    rescue PG::Error
      false
    end
  end
end
