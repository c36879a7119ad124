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
          inline = Inline.current
          inline ? inline.lent(inline.lend { super }) : super
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
        # @return [Inline, nil] the one in force
        attr_reader :current

        # @param inline [Inline, nil]
        # @return [void]
        def current=(inline)
          @current ? @current.let_go : TaskerCore.client.close
          @current = inline
        end
      end

      # @return [Clock] the engine's
      attr_reader :clock
      # @return [Faults] what goes wrong on purpose
      attr_reader :faults

      # @param connection [PG::Connection, Object, nil] or an Active Record connection. Default nil: Active Record's for
      #   this thread.
      # @raise [InvalidArgument]
      # @raise [ConfigurationError] there is none
      def initialize(connection)
        @connection = connection || application_connection
        @session = Session.new { raw_connection }
        @door = Door.new(@session)
        @parameter = nil
        @faults = Faults.new
        @clock = Clock.new(run: method(:run)) { |parameter| adjust(parameter) }
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
        connection = NestedConnection.new(@connection)
        worker = Worker.new(@session, connection, @faults, **options) { |door| door.url(@parameter) }
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

      def raw_connection
        Internal::BorrowedConnection.new(@connection).raw
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
