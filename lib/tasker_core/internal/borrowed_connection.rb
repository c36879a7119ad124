# frozen_string_literal: true

require "timeout"
require_relative "../errors"
require_relative "check"

module TaskerCore
  module Internal
    # A connection of the application's, in whose transaction the engine writes. What a submit writes is undone when it
    # fails, the rest of the transaction is not; where no transaction is open, it has one of its own.
    class BorrowedConnection
      # In the application's transaction.
      NESTED = { begin: "SAVEPOINT tasker_core_submit", commit: "RELEASE SAVEPOINT tasker_core_submit",
                 rollback: "ROLLBACK TO SAVEPOINT tasker_core_submit; RELEASE SAVEPOINT tasker_core_submit" }.freeze
      # Where there is none.
      OWN = { begin: "BEGIN", commit: "COMMIT", rollback: "ROLLBACK" }.freeze
      # Times that a submit which loses a race against the same one is tried.
      TRIES = 5
      # Seconds that a submit which fails waits until it is undone.
      PATIENCE = 5
      # What is accepted.
      ALLOWED = "a PG::Connection, or an Active Record connection to Postgres"
      private_constant :NESTED, :OWN, :TRIES, :PATIENCE, :ALLOWED

      # @return [PG::Connection]
      attr_reader :raw

      # @param connection [PG::Connection, Object] or something with such a `raw_connection`
      # @raise [InvalidArgument]
      def initialize(connection)
        raw = connection.respond_to?(:raw_connection) ? connection.raw_connection : connection
        is_one = defined?(PG::Connection) && raw.is_a?(PG::Connection)
        Check.refuse("connection", connection.class, ALLOWED) unless is_one
        @raw = raw
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
          submitted = transact { native.submit_within(json) { |sql, parameters| execute(sql, parameters) } }
          return submitted if submitted
        end
        raise DatabaseError.new("the submit lost #{TRIES} races against the same one and can be tried again",
                                details: { "retryable" => true })
      end

      # @return [void]
      # @raise [InvalidArgument] a transaction is open, or it is busy
      # @raise [DatabaseUnavailable] it is lost
      def refuse_open
        case raw.transaction_status
        when PG::PQTRANS_IDLE then nil
        when PG::PQTRANS_UNKNOWN then raise DatabaseUnavailable, "the application's connection is lost; bring another"
        else Check.refuse("connection", "in a transaction, or busy", "one that is in none")
        end
      end

      # Commits what the block does, unless that raises or is ended otherwise.
      #
      # @return [Object] what the block returned
      # @raise [PG::Error] the commit failed, perhaps
      # @example
      #   borrowed.transaction { pg.exec("INSERT ...") }
      def transaction
        raw.exec(OWN[:begin])
        result = yield
        raw.exec(OWN[:commit])
        committed = true
        result
      ensure
        give_up unless committed
      end

      # @param sql [String] of the engine's
      # @param parameters [Array<Array(Integer, String)>] object id of the type, and text
      # @return [Array] rows, how many were changed, and nil; or nil, 0, and SQLSTATE, words and constraint
      # @example
      #   borrowed.execute("SELECT $1", [[25, "one"]]) # => [[["one"]], 1, nil]
      def execute(sql, parameters)
        parameters = parameters.map { |type, value| { type: type, value: value, format: 0 } }
        result = @raw.exec_params(sql, parameters, 0, PG::TypeMapAllStrings.new)
        result.type_map = PG::TypeMapAllStrings.new
        [result.values, result.cmd_tuples, nil]
      rescue PG::Error => e
        [nil, 0, [field(e, PG::PG_DIAG_SQLSTATE), e.message, field(e, PG::PG_DIAG_CONSTRAINT_NAME)]]
      end

      private

      # Undone unless the block brings something.
      def transact
        words = words_for(@raw.transaction_status)
        # A BEGIN that is interrupted may have begun; to roll back to a savepoint that is not there would fail.
        begun = words.equal?(OWN)
        @raw.exec(words[:begin])
        begun = true
        result = yield
        @raw.exec(words[:commit]) if result
        committed = result
        result
      rescue PG::Error => e
        raise failed(e)
      ensure
        undo(words[:rollback]) if begun && !committed
      end

      # A statement that was interrupted goes on until it is cancelled. A connection that is lost has undone everything,
      # and one that is silent is closed: without it the server rolls back.
      def undo(rollback)
        Timeout.timeout(PATIENCE) do
          @raw.cancel if @raw.transaction_status == PG::PQTRANS_ACTIVE
          @raw.block
          @raw.exec(rollback)
        end
      rescue Timeout::Error
        @raw.close
      rescue PG::Error
        nil
      end

      # Who was interrupted in the middle of a statement is not to wait for an answer that may never come: without the
      # connection the server rolls back.
      def give_up
        raw.transaction_status == PG::PQTRANS_ACTIVE ? raw.close : raw.exec(OWN[:rollback])
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
