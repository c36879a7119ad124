# frozen_string_literal: true

require "pg"
require "tasker_core"
require "tasker_core/internal/command"
require "tasker_core/internal/private_server"
require_relative "process_clock"
require_relative "profile"

module Bench
  # The Postgres that is measured: one of its own with stock durability, which is gone afterwards however this process
  # ends, or one that exists. What is asked here goes to another database than the one that is measured, so that it
  # is not counted.
  class Server
    # The settings that decide whether a commit survives a crash: with one that is off it may not.
    DURABILITY = %w[fsync synchronous_commit full_page_writes].freeze
    # File systems in memory.
    IN_MEMORY = %w[tmpfs ramfs].freeze
    # Seconds that connections may take to end.
    PATIENCE = 10
    # Before version 15 sessions hand their statistics to another process, which takes up to half a second.
    COLLECTOR = { until: 150_000, seconds: 1 }.freeze

    # What the server says at one moment: its clock in seconds, and bytes of WAL since ever.
    Moment = Struct.new(:seconds, :wal_bytes)

    # @param url [String, nil] a server that exists, as a user who may make databases; nil: one of its own
    # @param profile [Boolean] whether what each statement takes is to be known; of one of its own only. Default: false.
    # @yieldparam server [Server]
    # @return [Object] what the block returned
    # @raise [TaskerCore::DatabaseUnavailable]
    # @example
    #   Server.open(nil) { |server| server.with_database { |url| measure(url) } }
    def self.open(url, profile: false)
      own = TaskerCore::Internal::PrivateServer.start(settings: profile ? Profile::SETTINGS : {}) unless url
      server = new(url || own.url, own: !own.nil?, profile: profile)
      yield server
    ensure
      server&.close
      own&.stop
    end

    # @return [Integer] deadlocks in the databases of {#with_database} that were dropped
    attr_reader :deadlocks
    # @return [Profile, nil] nil: what statements take is not to be known
    attr_reader :profile

    # @param url [String] of any of its databases but a measured one
    # @param own [Boolean] whether nobody else uses it, so that its settings may be changed. Default: false.
    # @param profile [Boolean] whether it has {Profile::SETTINGS}. Default: false.
    # @raise [TaskerCore::DatabaseUnavailable]
    def initialize(url, own: false, profile: false)
      @url = url
      @own = own
      @connection = PG.connect(url)
      @databases = @deadlocks = 0
      @profile = Profile.new(@connection) if profile
    rescue PG::ConnectionBad => e
      raise TaskerCore::DatabaseUnavailable, e.message.strip
    end

    # A database that nobody else uses, with the gem's tables. Dropped after the block, at whose end nobody may be
    # connected.
    #
    # @yieldparam url [String]
    # @yieldparam name [String]
    # @return [Object] what the block returned
    def with_database
      with_empty_database do |url, name|
        TaskerCore::Client.open(TaskerCore.configuration.with { |c| c.database_url = url }, &:migrate)
        yield(url, name).tap { @deadlocks += told(name, "deadlocks") }
      end
    end

    # The same without tables.
    #
    # @yieldparam (see #with_database)
    # @return (see #with_database)
    def with_empty_database
      name = "tasker_bench_#{Process.pid}_#{@databases += 1}"
      apart("CREATE DATABASE #{name} TEMPLATE template0")
      yield @url.sub(%r{(//[^/?]*)(/[^?]*)?}) { "#{Regexp.last_match(1)}/#{name}" }, name
    ensure
      apart("DROP DATABASE IF EXISTS #{name} WITH (FORCE)")
    end

    # @return [Moment]
    def moment
      seconds, bytes = ask(<<~SQL).first
        SELECT extract(epoch FROM clock_timestamp()), pg_current_wal_insert_lsn() - '0/0'::pg_lsn
      SQL
      Moment.new(seconds.to_f, bytes.to_i)
    end

    # Sessions tell what they did when they end, so this waits until nobody is connected, before the block and after it.
    #
    # @param name [String] of a database
    # @yield
    # @return [Integer] transactions that were committed in it meanwhile, Postgres' own among them (autovacuum)
    # @raise [TaskerCore::TimeoutError] somebody stays connected
    # @example
    #   server.commits_during("shop") { client.submit("order"); client.close } # => 3
    def commits_during(name)
      before = told(name, "xact_commit")
      yield
      told(name, "xact_commit") - before
    end

    # As far as sessions have told: one that is busy does once a second, one that is idle has told all after ten. What
    # reads no table is told with the next transaction that does.
    #
    # @param name [String] of a database
    # @return [Integer] transactions that have ended in it since ever, Postgres' own among them (autovacuum)
    def transactions(name)
      statistic(name, "xact_commit + xact_rollback")
    end

    # On a server that others use as well, autovacuum goes on.
    #
    # @yield during which autovacuum does nothing
    # @return [Object] what the block returned
    def without_autovacuum
      alter_system("SET autovacuum = off")
      yield
    ensure
      alter_system("RESET autovacuum")
    end

    # @return [Float, nil] CPU seconds of all the server's processes since its start; nil where it runs elsewhere
    def cpu_seconds
      postmaster && ProcessClock.family_seconds(postmaster)
    end

    # As a session of a worker begins: it connects with the same URL, and sets none of this.
    #
    # @return [Array<String>] why a crash may lose what was committed, in words; empty where nothing says that it may
    def doubts
      off = durability.select { |_, value| value == "off" }.keys.map { |name| "#{name} is off" }
      IN_MEMORY.include?(filesystem) ? off << "its data is on #{filesystem}" : off
    end

    # @return [Hash{String => Object}] for the report
    def to_report
      { "postgres" => ask("SHOW server_version").first.first, "durable" => doubts.empty?, **durability,
        "filesystem" => filesystem }
    end

    # @return [void]
    def close
      @connection.close
    end

    private

    # On a connection of its own: after a Ctrl-C the other one may be in the middle of something.
    def apart(statement)
      connection = PG.connect(@url)
      connection.set_notice_processor { |_| nil }
      connection.exec(statement)
    ensure
      connection&.close
    end

    def alter_system(clause)
      return unless @own

      apart("ALTER SYSTEM #{clause}")
      apart("SELECT pg_reload_conf()")
    end

    def ask(statement, *values)
      @connection.exec_params(statement, values).values
    end

    # What sessions have told when all of them have ended.
    def told(name, expression)
      wait_for_disconnection(name)
      sleep(COLLECTOR.fetch(:seconds)) if @connection.server_version < COLLECTOR.fetch(:until)
      statistic(name, expression)
    end

    def statistic(name, expression)
      ask("SELECT #{expression} FROM pg_stat_database WHERE datname = $1", name).first.first.to_i
    end

    def wait_for_disconnection(name)
      deadline = TaskerCore::Internal::Clock.seconds + PATIENCE
      while (left = connections(name)).any?
        if TaskerCore::Internal::Clock.seconds > deadline
          raise TaskerCore::TimeoutError, "still connected to #{name} after #{PATIENCE} s: #{left.join(", ")}"
        end

        sleep(0.005)
      end
    end

    def connections(name)
      ask(<<~SQL, name).map(&:first)
        SELECT pid FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'
      SQL
    end

    def durability
      @durability ||= DURABILITY.to_h { |name| [name, ask("SHOW #{name}").first.first] }
    end

    # Of the data, where the server is on this machine and says where that is.
    def filesystem
      return @filesystem if defined?(@filesystem)

      folder = postmaster && ask("SHOW data_directory").first.first
      @filesystem = folder && TaskerCore::Internal::Command.run(["stat", "-f", "-c", "%T", folder]).strip
    rescue PG::InsufficientPrivilege, TaskerCore::Internal::Command::Failed
      @filesystem = nil
    end

    # The session's process is the postmaster's child, if it is one of this machine's processes at all.
    def postmaster
      @postmaster ||= local? && ProcessClock.parent(@connection.backend_pid)
    end

    def local?
      ask("SELECT coalesce(host(inet_server_addr()), 'socket')").first.first.match?(/\A(socket|127\.|::1\z)/)
    end
  end
end
