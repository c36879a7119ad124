# frozen_string_literal: true

require_relative "../errors"
require_relative "check"

module TaskerCore
  module Internal
    # A connection of the application's, in whose transaction a submit is written. What it writes is undone when it
    # fails, the rest of the transaction is not; where no transaction is open, it has one of its own.
    class BorrowedConnection
      # In the application's transaction.
      NESTED = { begin: "SAVEPOINT tasker_core_submit", commit: "RELEASE SAVEPOINT tasker_core_submit",
                 rollback: "ROLLBACK TO SAVEPOINT tasker_core_submit; RELEASE SAVEPOINT tasker_core_submit" }.freeze
      # Where there is none.
      OWN = { begin: "BEGIN", commit: "COMMIT", rollback: "ROLLBACK" }.freeze
      # Times that a submit which loses a race against the same one is tried.
      TRIES = 5
      # What is accepted.
      ALLOWED = "a PG::Connection, or an Active Record connection to Postgres"
      private_constant :NESTED, :OWN, :TRIES, :ALLOWED

      # @param connection [PG::Connection, Object] or something with such a `raw_connection`
      # @raise [InvalidArgument]
      def initialize(connection)
        raw = connection.respond_to?(:raw_connection) ? connection.raw_connection : connection
        is_one = defined?(PG::Connection) && raw.is_a?(PG::Connection)
        Check.refuse("connection", connection.class, ALLOWED) unless is_one
        @connection = raw
      end

      # @param native [Bridge::Client]
      # @param json [String] a submission
      # @return [String] what became of it, as {Bridge::Client#submit} says
      # @raise [InvalidArgument] the connection's transaction has failed, or it is busy
      # @raise [Error] as {Client#submit}
      # @example
      #   BorrowedConnection.new(pg).submit(native, submission.json)
      def submit(native, json)
        TRIES.times do
          submitted = transaction { native.submit_within(json) { |sql, parameters| execute(sql, parameters) } }
          return submitted if submitted
        end
        raise DatabaseError.new("the submit lost #{TRIES} races against the same one and can be tried again",
                                details: { "retryable" => true })
      end

      private

      # Undone unless the block brings something.
      def transaction
        words = words_for(@connection.transaction_status)
        # A BEGIN that is interrupted may have begun; to roll back to a savepoint that is not there would fail.
        begun = words.equal?(OWN)
        @connection.exec(words[:begin])
        begun = true
        result = yield
        @connection.exec(words[:commit]) if result
        committed = result
        result
      rescue PG::Error => e
        raise failed(e)
      ensure
        undo(words[:rollback]) if begun && !committed
      end

      # A statement that was interrupted goes on until it is cancelled. A connection that is lost has undone everything.
      def undo(rollback)
        @connection.cancel if @connection.transaction_status == PG::PQTRANS_ACTIVE
        @connection.block
        @connection.exec(rollback)
      rescue PG::Error
        nil
      end

      def words_for(status)
        case status
        when PG::PQTRANS_IDLE then OWN
        when PG::PQTRANS_INTRANS then NESTED
        when PG::PQTRANS_INERROR
          Check.refuse("connection", "in a transaction that has failed", "one that is rolled back first")
        else Check.refuse("connection", "busy or lost", "one that waits for a statement")
        end
      end

      def execute(sql, parameters)
        parameters = parameters.map { |type, value| { type: type, value: value, format: 0 } }
        result = @connection.exec_params(sql, parameters, 0, PG::TypeMapAllStrings.new)
        result.type_map = PG::TypeMapAllStrings.new
        [result.values, result.cmd_tuples, nil]
      rescue PG::Error => e
        [nil, 0, [field(e, PG::PG_DIAG_SQLSTATE), e.message, field(e, PG::PG_DIAG_CONSTRAINT_NAME)]]
      end

      def field(error, name)
        error.result&.error_field(name)
      end

      def failed(error)
        code = field(error, PG::PG_DIAG_SQLSTATE)
        return DatabaseUnavailable.new(error.message) unless code

        DatabaseError.new("the connection refused: #{error.message}", details: { "sqlstate" => code })
      end
    end
  end
end
