# frozen_string_literal: true

require "rbconfig"
require "tmpdir"
require_relative "../../lib/tasker_core/internal/postgres_cluster"

# A Postgres server of its own for one run of the tests, in a temporary folder, reached through a
# Unix socket only.
#
# A second process owns the server and keeps it for as long as the pipe to its standard input is
# open. However the first process ends, killed or not, the pipe closes, and the server stops and is
# deleted. The shell scripts in bin run this file as that second process.
#
# @example
#   server = PrivateServer.start
#   server.url # => "postgres://tasker@%2Ftmp%2F...:5432/postgres"
#   server.stop
class PrivateServer
  # More than Postgres' 100, for tests that start several workers at once.
  SETTINGS = { "max_connections" => 200 }.freeze

  # @return [String] URL of the database "postgres", as a superuser
  attr_reader :url

  class << self
    # @return [PrivateServer] that accepts connections
    # @raise [RuntimeError] it does not start; the reason is on the error stream
    def start
      new(IO.popen([RbConfig.ruby, __FILE__], "r+"))
    end

    # What the second process does.
    #
    # @param input [IO] the server runs until this ends
    # @param output [IO] where its URL is written to
    # @return [void]
    def keep(input: $stdin, output: $stdout)
      # Ctrl-C reaches all processes of a terminal; this one ends after those that use it.
      %w[INT TERM HUP].each { |signal| trap(signal, "IGNORE") }
      in_temporary_folder do |cluster|
        cluster.start
        output.puts(cluster.folder.url("postgres"))
        output.flush
        input.read
      end
    end

    private

    def in_temporary_folder
      Dir.mktmpdir("tasker-test-") do |root|
        # The server's user, who is another one when root runs the tests, has to pass.
        File.chmod(0o711, root)
        cluster = cluster_in(File.join(root, "postgres"))
        yield cluster
      ensure
        cluster&.stop(mode: "immediate")
        cluster&.delete
      end
    end

    def cluster_in(path)
      binaries = TaskerCore::Internal::PostgresBinaries.find
      folder = TaskerCore::Internal::PostgresFolder.new(path, major: binaries.major)
      TaskerCore::Internal::PostgresCluster.new(folder: folder, binaries: binaries, settings: SETTINGS)
    end
  end

  # @param owner [IO] the pipe to the second process
  def initialize(owner)
    @owner = owner
    @url = owner.gets&.chomp || raise("the private Postgres server does not start")
  end

  # Stops and deletes the server.
  #
  # @return [void]
  def stop
    @owner.close
  end
end

PrivateServer.keep if $PROGRAM_NAME == __FILE__
