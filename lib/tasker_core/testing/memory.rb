# frozen_string_literal: true

require_relative "../errors"
require_relative "../internal/private_server"
require_relative "inline"

module TaskerCore
  module Testing
    # The mode `:memory`: as `:inline`, on a Postgres server of this process's own, which keeps its data in memory and
    # ends with the process. Each has a database of its own.
    class Memory < Inline
      # Nothing is to outlive anything.
      SETTINGS = { "fsync" => "off", "synchronous_commit" => "off", "full_page_writes" => "off",
                   "autovacuum" => "off" }.freeze
      # Where files are in memory, where there is such a folder.
      FOLDER = "/dev/shm"
      # Name of the database.
      DATABASE = "tasker"
      private_constant :SETTINGS, :FOLDER, :DATABASE

      @lock = Mutex.new
      @server = @pid = nil
      @made = 0

      class << self
        # @return [PG::Connection] to a database that has the engine's tables, and no tasks
        # @raise [DatabaseUnavailable] Postgres is not installed, or does not start
        # @raise [ConfigurationError] without the gem pg
        def connect
          require "pg"
          name = @lock.synchronize do
            start unless @pid == Process.pid
            "#{DATABASE}_#{@made += 1}"
          end
          execute("CREATE DATABASE #{name} TEMPLATE #{DATABASE}")
          PG.connect(url_of(name)).tap { |connection| connection.set_notice_processor { nil } }
        rescue LoadError
          raise ConfigurationError, "the mode :memory needs the gem pg; add it to the Gemfile"
        end

        # @param connection [PG::Connection]
        # @return [void]
        def delete(connection)
          name = connection.db
          connection.close
          execute("DROP DATABASE #{name} WITH (FORCE)")
        end

        private

        # Once for each process. The server ends when its object does.
        def start
          folder = File.writable?(FOLDER) ? FOLDER : Dir.tmpdir
          @server = Internal::PrivateServer.start(settings: SETTINGS, folder: folder)
          execute("CREATE DATABASE #{DATABASE} TEMPLATE template0")
          Client.open(TaskerCore.configuration.with { |c| c.database_url = url_of(DATABASE) }, &:migrate)
          @pid = Process.pid
        end

        def url_of(name)
          @server.url.sub(%r{/[^/]*\z}, "/#{name}")
        end

        def execute(sql)
          PG.connect(@server.url) { |connection| connection.exec(sql) }
        end
      end

      # Nobody else uses the connection, so that the engine always has it, and need not wait for handlers.
      def initialize
        @own = Memory.connect
        super(@own)
        @session.lend_for_good
      end

      # As {Inline#anew}.
      #
      # @return [Memory]
      def anew
        Memory.new
      end

      # As {Inline#close}; all that was written is gone.
      #
      # @return [void]
      def close
        super
        @session.take_back_for_good
        Memory.delete(@own)
      end
    end
  end
end
