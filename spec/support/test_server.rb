# frozen_string_literal: true

require "json"
require "pg"
require "tasker_core/internal/private_server"

# The Postgres server of this run of the specs: the one that TASKER_TEST_DATABASE_URL names, else
# one of its own, which ends with the run. Databases are copies of one that is migrated once.
module TestServer
  # Names the server, as a superuser who may make databases.
  VARIABLE = "TASKER_TEST_DATABASE_URL"

  class << self
    # @return [String] URL of a database of the server
    def url
      @url ||= ENV.fetch(VARIABLE, nil) || (@private_server = TaskerCore::Internal::PrivateServer.start).url
    end

    # @param migrated [Boolean] whether it has the gem's tables
    # @return [String] name of a database that nobody else uses
    def create_database(migrated: true)
      original = migrated ? template : "template0"
      next_name.tap { |name| execute("CREATE DATABASE #{name} TEMPLATE #{original}") }
    end

    # @param name [String]
    # @return [void]
    def drop_database(name)
      execute("DROP DATABASE IF EXISTS #{name} WITH (FORCE)")
    end

    # @param name [String]
    # @return [String] the database's URL
    def url_of(name)
      url.sub(%r{/[^/?]*(?=\?|\z)}, "/#{name}")
    end

    # @param name [String]
    # @return [Array<String>] what the database's connections did last
    def connections_to(name)
      execute(<<~SQL, name).flatten
        SELECT concat_ws(' ', application_name, state, left(query, 80))
        FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'
      SQL
    end

    # @return [void]
    def stop
      return unless @url

      drop_database(@template) if @template
      @private_server&.stop
      @url = @template = @private_server = nil
    end

    private

    # A connection for each statement: examples fork, and a child that ends would end one that it
    # shares with its parent.
    def execute(statement, *values)
      connection = PG.connect(url)
      connection.set_notice_processor { |_| nil }
      connection.exec_params(statement, values).values
    ensure
      connection&.close
    end

    # Several runs may use one server, so the process id is part of each name.
    def next_name
      @count = (@count || 0) + 1
      "tasker_spec_#{Process.pid}_#{@count}"
    end

    def template
      @template ||= create_database(migrated: false).tap do |name|
        migrate(url_of(name))
        Waiting.wait_until("the template's connections end") { connections_to(name).empty? }
      end
    end

    def migrate(url)
      client = TaskerCore::Internal::Bridge::Client.connect(JSON.generate("url" => url))
      client.migrate(nil)
    ensure
      client&.close
    end
  end
end
