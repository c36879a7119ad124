# frozen_string_literal: true

require "fileutils"
require "socket"
require "tmpdir"
require "tasker_core/internal/executable"
require "tasker_core/internal/privileges"

module Chaos
  # A PgBouncer of its own in transaction mode before the server, reached through a Unix socket only.
  class Pooler
    # The program.
    PROGRAM = "pgbouncer"
    PORT = 6432
    # Seconds that it may take to start.
    PATIENCE = 10
    PAUSE = 0.02
    # Drivers send startup parameters that it does not know.
    CONFIGURATION = <<~TEXT.freeze
      [databases]
      * = host=%<folder>s port=%<port>d user=%<user>s
      [pgbouncer]
      pool_mode = transaction
      auth_type = any
      unix_socket_dir = %<own>s
      listen_port = #{PORT}
      ignore_startup_parameters = extra_float_digits,options
      max_client_conn = 200
      default_pool_size = 20
      logfile = %<own>s/log
    TEXT

    # @return [Boolean] whether it is installed
    def self.installed?
      !TaskerCore::Internal::Executable.find(PROGRAM).nil?
    end

    # Starts it and waits until it accepts connections.
    #
    # @param server [Server]
    def initialize(server)
      @privileges = TaskerCore::Internal::Privileges.current
      @folder = Dir.mktmpdir("tasker-pool-")
      FileUtils.chown(@privileges.user.uid, @privileges.user.gid, @folder)
      File.write(file, format(CONFIGURATION, folder: server.folder, port: server.port, user: "tasker", own: @folder))
      File.chmod(0o644, file)
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

    def wait_until_ready
      deadline = TaskerCore::Internal::Clock.seconds + PATIENCE
      begin
        connect.close
      rescue SystemCallError
        raise if TaskerCore::Internal::Clock.seconds > deadline

        sleep(PAUSE)
        retry
      end
    end
  end
end
