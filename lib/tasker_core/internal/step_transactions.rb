# frozen_string_literal: true

require_relative "../errors"
require_relative "../step_handler/errors"
require_relative "borrowed_connection"

module TaskerCore
  module Internal
    # The transactions of the application's in which the attempts of transactional handlers are executed.
    class StepTransactions
      # Code of attempts for which there is no connection.
      NO_CONNECTION = "TRANSACTION_CONNECTION"

      # @api private
      # Has a transaction rolled back.
      class Undone < StandardError
      end

      # @param bring [#call, nil] see {Configuration#transaction_connection}
      # @return [PG::Connection, Object, nil] what it brings, where it brings one, else Active Record's, where that is
      #   loaded
      # @example
      #   StepTransactions.connection(TaskerCore.configuration.transaction_connection)
      def self.connection(bring)
        brought = bring&.call
        return brought if brought || !defined?(::ActiveRecord::Base)

        base = ::ActiveRecord::Base
        base.respond_to?(:lease_connection) ? base.lease_connection : base.connection
      end

      # @param native [Bridge::Worker] knows the tables
      # @param bring [#call, nil] see {Configuration#transaction_connection}
      def initialize(native, bring)
        @native = native
        @bring = bring
        @checked = ObjectSpace::WeakMap.new
      end

      # Commits what the block does where that says so.
      #
      # @yieldparam borrowed [BorrowedConnection] in the transaction
      # @yieldreturn [Array(Boolean, Object)] whether it is to be committed, and what to return
      # @return [Object]
      # @raise [BlockedError] no connection can be used
      # @raise [Exception] whatever the block, or the commit, raises
      # @example
      #   transactions.run { |borrowed| [true, borrowed.raw.exec("INSERT ...")] }
      def run
        said = failure = nil
        open do |borrowed|
          commits, said = yield borrowed
          raise Undone unless commits
        rescue Exception => e # rubocop:disable Lint/RescueException -- Active Record keeps some to itself
          failure = e
          raise
        end
        failure ? raise(failure) : said
      rescue Undone
        said
      end

      private

      def open(&block)
        connection = self.class.connection(@bring)
        return refuse(MISSING) unless connection

        if connection.respond_to?(:transaction_open?)
          within_active_record(connection, &block)
        else
          borrowed = usable { BorrowedConnection.new(connection) }
          usable { borrowed.refuse_open }
          borrowed.transaction { yield checked(borrowed) }
        end
      end

      MISSING = "the handler is transactional, and there is no connection: set transaction_connection, " \
                "or use Active Record (docs/transactions.md)"
      private_constant :MISSING

      # Its raw connection is in the transaction from when it is asked for.
      def within_active_record(connection)
        if connection.transaction_open?
          refuse("the handler is transactional, and its Active Record connection is in a transaction before it begins")
        end
        connection.transaction { yield checked(usable { BorrowedConnection.new(connection) }) }
      end

      # Once for each connection to the database: it must lead to the engine's tables.
      def checked(borrowed)
        return borrowed if @checked.key?(borrowed.raw)

        usable { @native.check_connection { |sql, parameters| borrowed.execute(sql, parameters) } }
        @checked[borrowed.raw] = true
        borrowed
      end

      def usable
        yield
      rescue InvalidArgument => e
        refuse("the handler is transactional, and its #{e.message}")
      end

      def refuse(problem)
        raise BlockedError.new(problem, error_code: NO_CONNECTION)
      end
    end
  end
end
