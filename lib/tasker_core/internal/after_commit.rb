# frozen_string_literal: true

require_relative "../errors"

module TaskerCore
  module Internal
    # What is to be done once the transactions of Active Record's that this thread has open are committed, and not at
    # all where one of them is rolled back. Those of tests, in which a whole test stands, do not count.
    module AfterCommit
      # Stands among the records of a transaction, which tells them how it ended; that of a savepoint passes them on to
      # the one around it.
      class Record
        def initialize(&committed)
          @committed = committed
        end

        # As Active Record's records have it.
        #
        # @api private
        def has_transactional_callbacks? # rubocop:disable Naming/PredicateName -- Active Record's
          true
        end

        # @api private
        def trigger_transactional_callbacks?
          true
        end

        # @api private
        def before_committed!(*); end

        # @api private
        def committed!(should_run_callbacks: true, **)
          @committed.call if should_run_callbacks
        end

        # @api private
        def rolledback!(*, **); end
      end
      private_constant :Record

      module_function

      # @return [Object, nil] what the block returned where no transaction is open; else nil
      # @raise [ConfigurationError] Active Record is not there
      # @example
      #   AfterCommit.call { client.submit("order_fulfilment") }
      def call(&block)
        refuse unless defined?(::ActiveRecord::Base)
        return by_active_record(&block) if ::ActiveRecord.respond_to?(:after_all_transactions_commit)

        require_relative "active_record_database" # not loaded in programs without
        open = open_connections
        return yield if open.empty?

        left = open.size
        record = Record.new { block.call if (left -= 1).zero? }
        open.each { |connection| connection.add_transaction_record(record) }
        nil
      end

      # Rails from 7.2 on.
      #
      # @api private
      def by_active_record
        result = nil
        ::ActiveRecord.after_all_transactions_commit { result = yield }
        result
      end

      # @api private
      def open_connections
        ActiveRecordDatabase.pools.filter_map do |pool|
          connection = pool.active_connection?
          connection if connection.respond_to?(:current_transaction) && joinable?(connection.current_transaction)
        end
      end

      # @api private
      def joinable?(transaction)
        transaction.open? && transaction.joinable?
      end

      # @api private
      def refuse
        raise ConfigurationError, "after_commit is for transactions of Active Record, which is not there; submit " \
                                  "when the transaction is committed, or in it, with connection:"
      end
    end
  end
end
