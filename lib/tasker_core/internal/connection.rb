# frozen_string_literal: true

require "json"
require_relative "../database"
require_relative "../errors"
require_relative "bridge"
require_relative "encryption_keys"

module TaskerCore
  module Internal
    # The native client behind a {Client}: made when it is first needed, made anew in a forked child (the parent's
    # sockets and threads are not the child's), shared by threads.
    class Connection
      # @param configuration [Configuration]
      # @param dry_run [Boolean] what operators ask of tasks is decided, and taken back. Default false.
      def initialize(configuration, dry_run: false)
        @configuration = configuration
        @dry_run = dry_run
        @lock = Mutex.new
        @registering = Mutex.new
        @url = nil
        forget
      end

      # @return [Connection] another one to the same database, for dry runs
      # @example
      #   connection.for_dry_runs
      def for_dry_runs
        Connection.new(@configuration, dry_run: true)
      end

      # @return [String]
      # @raise [ConfigurationError]
      # @raise [DatabaseUnavailable] the embedded Postgres does not start
      def url
        @lock.synchronize { resolved_url }
      end

      # @return [Bridge::Client]
      # @raise [DatabaseUnavailable]
      # @raise [ConfigurationError]
      def native
        @lock.synchronize { connected }
      end

      # One at a time: behind a pooler each takes a session beside those of the threads. Who does not register waits for
      # nobody.
      #
      # @param template [TaskTemplate]
      # @return [Integer] its id in the database
      # @raise [TemplateConflict]
      # @raise [DatabaseError] the database has another definition, of which an open transaction has submitted a task
      # @example
      #   connection.register(template)
      def register(template)
        registered(template).last || @registering.synchronize do
          connection, known, id = registered(template)
          id ||= connection.register_template(template.json)
          @lock.synchronize { known[template] = id }
        end
      end

      # The next {#register} of this template asks the database again.
      #
      # @param template [TaskTemplate]
      # @return [void]
      def forget_template(template)
        @lock.synchronize { @registered.delete(template) }
      end

      # @return [void]
      def close
        @lock.synchronize do
          @native.close if @native && @pid == Process.pid
          forget
        end
      end

      # @return [String] without the URL, which may hold a password
      def inspect
        @native && @pid == Process.pid ? "connected" : "not connected"
      end

      private

      def registered(template)
        @lock.synchronize { [connected, @registered, @registered[template]] }
      end

      def connected
        forget unless @pid == Process.pid
        @native || connect
      end

      def connect
        @native = Bridge::Client.connect(options)
      end

      def forget
        @pid = Process.pid
        @registered = {}.compare_by_identity
        @native = nil
      end

      def options
        JSON.generate({ "url" => resolved_url, "pool_size" => @configuration.pool_size,
                        "connect_timeout_ms" => (@configuration.connect_timeout * 1000).ceil,
                        "max_context_bytes" => @configuration.max_context_bytes,
                        "encryption_keys" => EncryptionKeys.list(@configuration.encryption_keys),
                        "dry_run" => @dry_run })
      end

      def resolved_url
        @url || resolve
      end

      def resolve
        database = Database.resolve(@configuration)
        @configuration.logger.info { database.notice } if database.notice
        @url = database.url
      end
    end
  end
end
