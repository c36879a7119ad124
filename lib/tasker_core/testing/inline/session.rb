# frozen_string_literal: true

require_relative "../../errors"
require_relative "../../internal/check"
require_relative "wire"

module TaskerCore
  module Testing
    class Inline
      # The session of a connection of the test's, which the engine uses as well: for a transaction at a time, while the
      # test lends it. Where the test is in a transaction, the engine's are savepoints in it, and all is undone with it.
      #
      # It is what a connection pooler is to the engine (docs/poolers.md), one with a single session.
      class Session
        # The engine's transactions within that of the test.
        SAVEPOINT = "tasker_core_testing"
        # What is sent for what the engine asks, where the test is in a transaction, and where it is not.
        WORDS = { true => { begin: "SAVEPOINT #{SAVEPOINT}", commit: "RELEASE SAVEPOINT #{SAVEPOINT}",
                            rollback: "ROLLBACK TO SAVEPOINT #{SAVEPOINT}; RELEASE SAVEPOINT #{SAVEPOINT}" },
                  false => { begin: "BEGIN", commit: "COMMIT", rollback: "ROLLBACK" } }.freeze
        # Names of settings that a statement changes until its transaction ends.
        SETTINGS = /set_config\(E'((?:[^'\\]|\\.|'')+)'/.freeze
        # The id of the transaction around all savepoints, and what has become of one.
        CURRENT = "SELECT pg_catalog.txid_current()"
        STATUS = "SELECT pg_catalog.txid_status($1)"
        # Parameters that a server tells each client.
        TOLD = %w[server_version server_encoding client_encoding DateStyle TimeZone integer_datetimes
                  standard_conforming_strings].freeze
        private_constant :WORDS, :SETTINGS, :CURRENT, :STATUS

        # @yieldreturn [PG::Connection] the test's
        # @raise [InvalidArgument] it cannot be shared
        def initialize(&connection)
          @connection = connection
          bring
          @lock = Mutex.new
          @turn = ConditionVariable.new
          @lent = []
          @holder = nil
          @saved = {}
        end

        # @return [Hash{String => String}] what is told to a client when it connects
        def parameters
          TOLD.to_h { |name| [name, @raw.parameter_status(name)] }.compact
        end

        # @return [String] of who is connected
        def user
          @raw.user
        end

        # @return [String] name of the database
        def database
          @raw.db
        end

        # @return [String, nil] the id of the test's transaction; nil where it is in none
        # @raise [InvalidArgument] it cannot be shared
        def transaction
          @lock.synchronize do
            bring if @lent.empty?
            @raw.exec(CURRENT).getvalue(0, 0).to_s if nested?
          end
        end

        # @param transaction [String] id of one that has ended
        # @return [Boolean]
        def committed?(transaction)
          @raw.exec_params(STATUS, [transaction]).getvalue(0, 0) == "committed"
        end

        # @return [Boolean] the transaction of the test has failed
        def failed?
          @connection.call.transaction_status == PG::PQTRANS_INERROR
        end

        # @return [Boolean] the engine has it
        def lent?
          @lent.any?
        end

        # A part of the engine has the session while the block runs, and the test has it again afterwards. Other parts
        # have not: what they write would be undone with a transaction that is within that of the test.
        #
        # @param door [Door] by which that part connects
        # @return [Object] what the block returned
        # @raise [InvalidArgument] the test's transaction has failed
        def lend(door)
          @lock.synchronize { hand_over([door]) }
          begin
            yield
          ensure
            @lock.synchronize { take_back(1) }
          end
        end

        # All of the engine has the session from now on.
        #
        # @return [void]
        def lend_for_good
          @lock.synchronize { hand_over([nil]) }
        end

        # Ends what {#lend_for_good} began.
        #
        # @return [void]
        def take_back_for_good
          @lock.synchronize { take_back(1) }
        end

        # @return [Boolean]
        def lent_for_good?
          @lent.include?(nil)
        end

        # Within {#lend}: the test has the session while the block runs.
        #
        # @return [Object] what the block returned
        def reclaim
          lent = @lock.synchronize { take_back(@lent.size) }
          begin
            yield
          ensure
            @lock.synchronize { hand_over(lent) }
          end
        end

        # Waits until it is lent to the client's part of the engine, and no other client has it.
        #
        # @param client [Object]
        # @param door [Door] by which it has come
        # @return [void]
        def hold(client, door)
          @lock.synchronize do
            next if @holder.equal?(client)

            @turn.wait(@lock) until @holder.nil? && @lent.any? { |lent| lent.nil? || lent.equal?(door) }
            @holder = client
          end
        end

        # @param client [Object] who holds it
        # @return [void]
        def release(client)
          @lock.synchronize do
            next unless @holder.equal?(client)

            @holder = nil
            @turn.broadcast
          end
        end

        # Begins, commits or rolls back, for who holds it.
        #
        # @param what [Symbol] :begin, :commit or :rollback
        # @return [Wire::Message, nil] why it failed
        def transact(what)
          words = WORDS.fetch(nested?).fetch(what)
          words = "#{words}; #{restoring}" if what != :begin && nested? && @saved.any?
          @saved = {} unless what == :begin
          _, failure = ask(words)
          failure
        end

        # Keeps what a statement changes for its transaction, which in the test's would be changed to its end.
        #
        # @param statement [String]
        # @return [void]
        def keep_settings(statement)
          names = nested? ? statement.scan(SETTINGS).flatten - @saved.keys : []
          return if names.empty?

          rows, = ask("SELECT #{names.map { |name| "pg_catalog.current_setting(E'#{name}', true)" }.join(", ")}")
          @saved.merge!(names.zip(rows.first).to_h)
        end

        # Sends what a client asks, and what the server answers.
        #
        # @param messages [Array<Wire::Message>] the last one brings a {Wire::Message} `Z`
        # @yieldparam answer [Wire::Message]
        # @return [String] in what transaction the session is: I, T or E
        # @raise [EOFError] the server has closed
        def exchange(messages)
          @io.write(messages.join)
          loop do
            answer = Wire.read(@io) or raise EOFError, "the server has closed the test's connection"
            return answer.payload if answer.type == "Z"

            yield answer
          end
        end

        # @param sql [String] of ours
        # @return [Array(Array<Array<String, nil>>, Wire::Message)] rows, and why it failed, if it did
        def ask(sql)
          rows = []
          failure = nil
          exchange([Wire.query(sql)]) do |answer|
            rows << Wire.values(answer) if answer.type == "D"
            failure ||= answer if answer.type == "E"
          end
          [rows, failure]
        end

        private

        def nested?
          @nested
        end

        def hand_over(doors)
          bring if @lent.empty?
          @lent.concat(doors)
          @turn.broadcast
        end

        # The last ones.
        def take_back(count)
          taken = @lent.pop(count)
          @turn.wait(@lock) while @lent.empty? && @holder
          taken
        end

        # Active Record begins its transactions when it is asked for the connection.
        def bring
          @raw = @connection.call
          refuse("encrypted", "one without TLS (sslmode=disable)") if @raw.ssl_in_use?
          @io = @raw.socket_io
          @nested = in_transaction?
        end

        def in_transaction?
          case @raw.transaction_status
          when PG::PQTRANS_IDLE then false
          when PG::PQTRANS_INTRANS then true
          when PG::PQTRANS_INERROR then refuse("in a transaction that has failed", "one that is rolled back first")
          else refuse("busy or lost", "one that waits for a statement")
          end
        end

        def restoring
          set = @saved.map { |name, value| "pg_catalog.set_config(E'#{name}', #{literal(value)}, true)" }
          "SELECT #{set.join(", ")}"
        end

        def literal(value)
          @raw.escape_literal(value.to_s)
        end

        def refuse(value, allowed)
          Internal::Check.refuse("the test's connection", value, allowed)
        end
      end
    end
  end
end
