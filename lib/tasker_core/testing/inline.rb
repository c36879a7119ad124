# frozen_string_literal: true

require_relative "../client"
require_relative "../errors"
require_relative "../internal/active_record_database"
require_relative "../internal/borrowed_connection"
require_relative "../internal/connection"
require_relative "clock"
require_relative "inline/door"
require_relative "inline/faults"
require_relative "inline/lent"
require_relative "inline/nested_connection"
require_relative "inline/session"
require_relative "inline/worker"

module TaskerCore
  module Testing
    # The mode `:inline`: the engine works in the session of a connection of the test's, within its transaction, and the
    # thread that tests executes the steps.
    class Inline
      # Milliseconds to wait for a step before tasks are looked at.
      LOOK_MS = 5

      # Has the clients of this process ask the database through the session, while there is one.
      module OverSession
        # As {Internal::Connection#native}.
        #
        # @api private
        def native
          inline = Inline.current or return super

          inline.renew
          inline.lent(inline.lend { super })
        end

        # As {Internal::Connection#register}.
        #
        # @api private
        def register(template)
          Inline.current ? Inline.current.lend { super } : super
        end

        private

        def resolved_url
          Inline.current ? Inline.current.url : super
        end
      end

      # Has clients submit in no other transaction than that in which the mode's connection is: what is written over
      # another one is not where the engine works.
      module InSession
        private

        def borrow(connection)
          Inline.current ? Inline.current.own(super) : super
        end
      end

      Internal::Connection.class_eval { prepend OverSession }
      Client.class_eval { prepend InSession }

      class << self
        # @return [Inline, nil] the one in force; that of a forked process is its own
        # @raise [ConfigurationError] its connection is that of the process that forked
        def current
          @current = @current.anew if inherited?
          @current
        end

        # @return [Boolean] the process that forked this one has made it
        def inherited?
          !@current.nil? && @current.pid != Process.pid
        end

        # @param inline [Inline, nil]
        # @return [void]
        def current=(inline)
          @current && !inherited? ? @current.let_go : TaskerCore.client.close
          @current = inline
        end
      end

      # @return [Faults] what goes wrong on purpose
      attr_reader :faults
      # @return [Integer] of the process that has made it
      attr_reader :pid

      # @param connection [PG::Connection, Object, nil] or an Active Record connection. Default nil: Active Record's for
      #   this thread.
      # @raise [InvalidArgument]
      # @raise [ConfigurationError] there is none
      def initialize(connection)
        @pid = Process.pid
        @given = connection
        @session = Session.new { raw_connection }
        @door = Door.new(@session)
        @faults = Faults.new
        @transaction = @session.transaction
        begin_anew
      end

      # For a process that was forked.
      #
      # @return [Inline]
      # @raise [ConfigurationError] the connection is that of the other one
      def anew
        return Inline.new(nil) unless @given

        raise ConfigurationError, "the mode :inline uses the connection of process #{@pid}, which has forked this " \
                                  "one; say TaskerCore::Testing.use(:inline, connection: ...) here, with one of its own"
      end

      # Where the transaction in which the test was at the last look was rolled back, what the engine's clients and its
      # clock have written in it is gone, and so is what was submitted.
      #
      # @return [void]
      def renew
        return if @session.lent? || @session.failed?

        before = @transaction
        @transaction = @session.transaction
        return if before.nil? || @transaction == before || @session.committed?(before)

        let_go
        begin_anew
        Testing.clear
      end

      # @return [Clock] the engine's
      def clock
        renew
        @clock
      end

      # @return [String] for a client
      def url
        @door.url(@parameter)
      end

      # @api private
      def lend(&block)
        @session.lend(@door, &block)
      end

      # @api private
      def lent(native)
        Lent.new(native, @session, @door)
      end

      # @api private
      # @param borrowed [Internal::BorrowedConnection, nil]
      # @return [Internal::BorrowedConnection, nil] nil where it is not the one that is shared
      def own(borrowed)
        borrowed if borrowed && borrowed.raw.equal?(raw_connection)
      end

      # @param options [Hash{Symbol => Object}] of {TaskerCore::Worker}
      # @yieldparam pause [#call] executes what can be executed
      # @return [Object] what the block returned
      def working(**options)
        renew
        nested = NestedConnection.new(connection)
        worker = Worker.new(@session, nested, @faults, **options) { |door| door.url(@parameter) }
        yield(-> { nil while worker.step(LOOK_MS) })
      ensure
        worker&.stop
      end

      # Closes the connections of the client of this process.
      #
      # @api private
      def let_go
        @door.shut? ? TaskerCore.client.close : lend { TaskerCore.client.close }
      end

      # Lets nobody in any more.
      #
      # @return [void]
      def close
        @door.shut
      end

      private

      def begin_anew
        @parameter = nil
        @clock = Clock.new(run: method(:run)) { |parameter| adjust(parameter) }
      end

      def raw_connection
        Internal::BorrowedConnection.new(connection).raw
      end

      # The pool may have closed the one that it gave before.
      def connection
        return @given if @given

        @connection = nil if @connection&.raw_connection&.finished?
        @connection ||= application_connection
      end

      def application_connection
        unless defined?(::ActiveRecord::Base)
          raise ConfigurationError, "the mode :inline needs a connection, and Active Record is not there; " \
                                    "bring one: TaskerCore::Testing.use(:inline, connection: pg)"
        end
        Internal::ActiveRecordDatabase.connection(TaskerCore.configuration.database)
      end

      # The settings of the engine's next connections.
      def adjust(parameter)
        let_go
        @parameter = parameter
      end

      def run(sql, parameters)
        @session.reclaim do
          raw = raw_connection
          (parameters.empty? ? raw.exec(sql) : raw.exec_params(sql, parameters)).values
        end
      end
    end
  end
end
