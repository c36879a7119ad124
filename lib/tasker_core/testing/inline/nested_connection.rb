# frozen_string_literal: true

require_relative "../../internal/borrowed_connection"

module TaskerCore
  module Testing
    class Inline
      # The connection of the test for transactional handlers, whose transactions are nested in that of the test.
      class NestedConnection
        # Around what a handler writes where the connection is no Active Record connection.
        SAVEPOINT = "tasker_core_step"

        # @param connection [PG::Connection, Object] or an Active Record connection
        def initialize(connection)
          @connection = connection
        end

        # @return [PG::Connection]
        def raw_connection
          Internal::BorrowedConnection.new(@connection).raw
        end

        # @return [Boolean] false: that of the test does not count
        def transaction_open?
          false
        end

        # Keeps what the block does, unless that raises.
        #
        # @return [Object] what the block returned
        def transaction(&block)
          return @connection.transaction(requires_new: true, &block) if active_record?

          idle? ? @connection.transaction(&block) : within_savepoint(&block)
        end

        private

        def active_record?
          @connection.respond_to?(:raw_connection)
        end

        def within_savepoint
          @connection.exec("SAVEPOINT #{SAVEPOINT}")
          result = yield
          kept = true
          result
        ensure
          @connection.exec("ROLLBACK TO SAVEPOINT #{SAVEPOINT}") unless kept
          @connection.exec("RELEASE SAVEPOINT #{SAVEPOINT}")
        end

        def idle?
          @connection.transaction_status == PG::PQTRANS_IDLE
        end
      end
    end
  end
end
