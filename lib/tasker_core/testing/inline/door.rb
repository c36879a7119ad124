# frozen_string_literal: true

require "erb"
require "fileutils"
require "socket"
require "tmpdir"
require_relative "wire"

module TaskerCore
  module Testing
    class Inline
      # Where a part of the engine reaches the test's {Session} as if it were a database: a Unix socket of its own. Once
      # it is shut, that part is as cut off as a process that was killed.
      class Door
        # Codes of startup packets. Source: PostgreSQL 15 manual, "Message Formats".
        PROTOCOL = 196_608
        UPGRADES = [80_877_103, 80_877_104].freeze
        # By which sockets of servers are found.
        PORT = 5_432
        # SQLSTATE with which a pooler refuses settings that come with a connection.
        REFUSED = "08P01"
        private_constant :PROTOCOL, :UPGRADES

        # @param session [Session]
        # @yield [what] in the thread of a client, before it commits and after it has: `:before_commit`, `:after_commit`
        # @yieldreturn [Boolean] the door is shut at this moment
        def initialize(session, &cut)
          @session = session
          @cut = cut || proc { false }
          @folder = Dir.mktmpdir("tasker")
          @server = UNIXServer.new(File.join(@folder, ".s.PGSQL.#{PORT}"))
          @lock = Mutex.new
          @clients = []
          @acceptor = thread { accept }
        end

        # @param parameter [String, nil] with which to connect
        # @return [String] for a client or a worker
        def url(parameter = nil)
          words = [@session.user, @folder, @session.database].map { |word| ERB::Util.url_encode(word) }
          [format("postgres://%s@%s:#{PORT}/%s", *words), parameter].compact.join("?")
        end

        # Cuts all connections off, and lets no other in.
        #
        # @return [void]
        def shut
          @server.close unless @server.closed?
          FileUtils.rm_rf(@folder)
          @lock.synchronize { @clients.dup }.each(&:close)
        end

        # @return [Boolean]
        def shut?
          @server.closed?
        end

        # @api private
        # A connection of the engine's.
        class Client
          # What the engine's transactions are begun and ended by.
          ASKED = { "BEGIN" => :begin, "COMMIT" => :commit, "ROLLBACK" => :rollback }.freeze

          def initialize(io, session, door, cut)
            @io = io
            @session = session
            @door = door
            @cut = cut
            @open = false
            @asked = []
          end

          # Until either side closes.
          def serve
            return unless greeted?

            while (message = Wire.read(@io))
              break if message.type == "X"

              @asked << message
              answer if %w[Q S].include?(message.type)
            end
          rescue IOError, SystemCallError
            # Either side has gone away.
            nil
          ensure
            close
            leave
          end

          def close
            @io.close unless @io.closed?
          end

          private

          def greeted?
            code, payload = Wire.read_startup(@io)
            code, payload = Wire.read_startup(@io) while UPGRADES.include?(code) && @io.write("N")
            return false unless code == PROTOCOL

            return welcome unless payload.split("\0").each_slice(2).any? { |name, _| name == "options" }

            tell([Wire.failure(REFUSED, "settings that come with a connection are not passed on")])
            false
          end

          def welcome
            parameters = @session.parameters.map { |name, value| Wire::Message.new("S", "#{name}\0#{value}\0") }
            tell([Wire::Message.new("R", [0].pack("N")), *parameters, ready])
            true
          end

          def answer
            asked = @asked
            @asked = []
            # Whether somebody is there is all that is asked.
            return tell([ready]) if asked.first.type == "S"

            @session.hold(self, @door)
            what = ASKED[asked.first.payload.delete_suffix("\0")] if asked.first.type == "Q"
            what ? transact(what) : pass(asked)
          ensure
            @session.release(self) unless @open
          end

          def transact(what)
            return tell([complete(what), ready]) unless what == :begin || @open
            return commit if what == :commit && !@failed

            failure = change(what == :begin ? :begin : :rollback)
            tell([failure || complete(what), ready])
          end

          def commit
            return if @cut.call(:before_commit)

            failure = change(:commit)
            tell([failure || complete(:commit), ready]) unless failure.nil? && @cut.call(:after_commit)
          end

          def change(what)
            failure = @session.transact(what)
            @open = what == :begin && failure.nil?
            @failed = false
            failure
          end

          # What comes outside a transaction must not end that of the test.
          def pass(asked)
            alone = !@open
            @session.transact(:begin) if alone
            @session.keep_settings(asked.first.payload) if asked.first.type == "Q"
            state = @session.exchange(asked) { |answer| tell([answer]) }
            @failed = state == "E"
            @session.transact(@failed ? :rollback : :commit) if alone
            tell([ready])
          end

          def leave
            @session.transact(:rollback) if @open
          rescue IOError, SystemCallError
            nil
          ensure
            @open = false
            @session.release(self)
          end

          def complete(what)
            Wire::Message.new("C", "#{what.to_s.upcase}\0")
          end

          def ready
            state = "I"
            state = @failed ? "E" : "T" if @open
            Wire::Message.new("Z", state)
          end

          # Who has gone away is not told.
          def tell(messages)
            @io.write(messages.join)
          rescue IOError, SystemCallError
            nil
          end
        end
        private_constant :Client

        private

        def accept
          loop do
            io = @server.accept
            client = Client.new(io, @session, self, @cut)
            @lock.synchronize { @clients << client }
            thread do
              client.serve
              @lock.synchronize { @clients.delete(client) }
            end
          end
        rescue IOError, SystemCallError
          nil
        end

        def thread(&block)
          Thread.new(&block).tap { |thread| thread.name = "tasker-testing" }
        end
      end
    end
  end
end
