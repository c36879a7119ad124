# frozen_string_literal: true

require "fileutils"
require "socket"
require "tmpdir"
require "uri"
require "tasker_core/internal/executable"
require "tasker_core/internal/privileges"
require_relative "clock"

module Chaos
  # A PgBouncer of its own in transaction mode before a server, reached through a Unix socket only.
  class Pooler
    # The program.
    PROGRAM = "pgbouncer"
    PORT = 6432
    # Seconds that it may take to start.
    PATIENCE = 10
    PAUSE = 0.02
    # How it is set up: few sessions, so that clients share them; and a server that was away is soon tried again.
    SETTINGS = { "pool_mode" => "transaction", "default_pool_size" => 5, "max_client_conn" => 200,
                 "server_login_retry" => 0.2, "auth_type" => "any", "listen_port" => PORT }.freeze

    # @return [Boolean] whether it is installed
    def self.installed?
      !TaskerCore::Internal::Executable.find(PROGRAM).nil?
    end

    # @param url [String] of a database, through the socket of its server
    # @param settings (see #initialize)
    # @yieldparam pooler [Pooler]
    # @return [Object] what the block returned
    # @example
    #   Pooler.open(server.url) { |pooler| PG.connect(pooler.url) }
    def self.open(url, settings = {})
      pooler = new(url, settings)
      yield pooler
    ensure
      pooler&.close
    end

    # @return [String] URL of the same database, through it
    attr_reader :url

    # Starts it and waits until it accepts connections.
    #
    # @param url (see .open)
    # @param settings [Hash{String => Object}] as in pgbouncer.ini, besides {SETTINGS}
    def initialize(url, settings = {})
      @privileges = TaskerCore::Internal::Privileges.current
      @folder = Dir.mktmpdir("tasker-pool-")
      FileUtils.chown(@privileges.user.uid, @privileges.user.gid, @folder)
      user, host, port, database = url.match(%r{//([^@]*)@(.*):(\d+)/(.*)}).captures
      @url = "postgres://#{user}@#{URI.encode_www_form_component(@folder)}:#{PORT}/#{database}"
      configure("host=#{URI.decode_www_form_component(host)} port=#{port} user=#{user}", settings)
      @pid = Process.spawn(*@privileges.wrap([PROGRAM, "-q", file]), %i[out err] => File::NULL, pgroup: true)
      wait_until_ready
    end

    # @return [UNIXSocket] a connection
    # @raise [SystemCallError]
    def connect
      UNIXSocket.new(File.join(@folder, ".s.PGSQL.#{PORT}"))
    end

    # @return [void]
    def close
      Process.kill("KILL", @pid)
      Process.wait(@pid)
      FileUtils.remove_entry(@folder)
    end

    private

    def file
      File.join(@folder, "pgbouncer.ini")
    end

    def configure(server, settings)
      own = { "unix_socket_dir" => @folder, "logfile" => File.join(@folder, "log") }
      lines = [SETTINGS, settings, own].reduce(&:merge).map { |name, value| "#{name} = #{value}" }
      File.write(file, ["[databases]", "* = #{server}", "[pgbouncer]", *lines, ""].join("\n"))
      File.chmod(0o644, file)
    end

    def wait_until_ready
      deadline = Clock.now + PATIENCE
      begin
        connect.close
      rescue SystemCallError
        raise if Clock.now > deadline

        sleep(PAUSE)
        retry
      end
    end
  end
end
