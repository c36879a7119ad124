# frozen_string_literal: true

require "pg"
require "uri"
require "tasker_core"
require "tasker_core/internal/private_server"
require_relative "application"
require_relative "consumer"
require_relative "effects"
require_relative "graphs"
require_relative "ledger"

module Chaos
  # The Postgres of a run: one of its own with stock durability and one database, which can be restarted, and is gone
  # however this process ends.
  class Server
    # Name of the database.
    DATABASE = "chaos"
    # Commits wait for the disk; checkpoints are small, so that a restart after a crash takes a moment.
    SETTINGS = { "max_wal_size" => "64MB", "log_min_messages" => "fatal" }.freeze
    # Those of the harness.
    TABLES = [Ledger::TABLE, Effects::TABLE, Consumer::TABLES, Application::TABLE].freeze
    # Seconds between two tries to connect.
    PAUSE = 0.05

    # @yieldparam server [Server] with the engine's tables and templates, and the ledger
    # @return [Object] what the block returned
    # @example
    #   Server.open { |server| server.rows("SELECT count(*) FROM tasker_tasks") }
    def self.open
      server = new(TaskerCore::Internal::PrivateServer.start(settings: SETTINGS))
      server.prepare
      yield server
    ensure
      server&.close
    end

    # @return [String] URL of the database, through the server's socket
    attr_reader :url

    # @param private_server [TaskerCore::Internal::PrivateServer]
    def initialize(private_server)
      @private_server = private_server
      @url = private_server.url.sub(%r{/[^/]*\z}, "/#{DATABASE}")
    end

    # Makes the database and its tables.
    #
    # @return [void]
    def prepare
      connection = PG.connect(@private_server.url)
      connection.exec("CREATE DATABASE #{DATABASE} TEMPLATE template0")
      client { |client| client.migrate && Graphs::TEMPLATES.each { |template| client.register(template) } }
      make_tables
    ensure
      connection&.close
    end

    # @return [String] path of the socket
    def socket
      File.join(folder, ".s.PGSQL.#{port}")
    end

    # @return [String] folder of the socket
    def folder
      URI.decode_www_form_component(url[/@([^:]*):/, 1])
    end

    # @return [Integer] of the socket's name
    def port
      Integer(url[%r{:(\d+)/}, 1])
    end

    # @param port [Integer]
    # @return [String] URL of the same database, over TCP on this machine
    def url_through(port)
      "postgres://#{url[%r{//([^@]*)@}, 1]}@127.0.0.1:#{port}/#{DATABASE}"
    end

    # Stops it as a crash would, and starts it again.
    #
    # @return [void]
    def crash
      @private_server.restart(mode: "immediate")
    end

    # Asks straight, whatever is done to the connections of others; tries again while the server is away.
    #
    # @param sql [String]
    # @param values [Array<Object>]
    # @return [Array<Hash{String => String}>]
    def rows(sql, values = [])
      connection = connect
      connection.exec_params(sql, values).to_a
    rescue PG::ConnectionBad, PG::UnableToSend, PG::AdminShutdown, PG::CrashShutdown, PG::CannotConnectNow
      sleep(PAUSE)
      retry
    ensure
      connection&.close
    end

    # @return [PG::Connection] straight to the database, without notices; the caller closes it
    def connect
      PG.connect(url, application_name: "chaos").tap { |connection| connection.set_notice_processor { nil } }
    end

    # @yieldparam client [TaskerCore::Client] straight to the database
    # @return [Object] what the block returned
    def client(&block)
      TaskerCore::Client.open(TaskerCore.configuration.with { |config| config.database_url = url }, &block)
    end

    # @return [void]
    def close
      @private_server.stop
    end

    private

    def make_tables
      connection = connect
      TABLES.each { |sql| connection.exec(sql) }
    ensure
      connection&.close
    end
  end
end
