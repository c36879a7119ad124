# frozen_string_literal: true

require "json"
require "rbconfig"
require "tmpdir"
require_relative "postgres_cluster"

module TaskerCore
  module Internal
    # A Postgres server of its own for one run of tests, in a temporary folder, reached through a
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
        # @param settings [Hash{String => Object}] as in postgresql.conf, besides {SETTINGS}
        # @param folder [String] in which its own is made. Default: that for temporary files.
        # @return [PrivateServer] that accepts connections
        # @raise [DatabaseUnavailable] it does not start; the reason is on the error stream
        def start(settings: {}, folder: Dir.tmpdir)
          new(IO.popen([RbConfig.ruby, __FILE__, JSON.generate(settings), folder], "r+"))
        end

        # What the second process does.
        #
        # @param settings [Hash{String => Object}] as for {start}
        # @param folder [String] as for {start}
        # @param input [IO] the server runs until this ends; each line is the mode of a stop, after which it is started
        #   again
        # @param output [IO] where its URL is written to, after each start
        # @return [void]
        def keep(settings: {}, folder: Dir.tmpdir, input: $stdin, output: $stdout)
          # Ctrl-C reaches all processes of a terminal; this one ends after those that use it.
          %w[INT TERM HUP].each { |signal| trap(signal, "IGNORE") }
          output.sync = true
          in_temporary_folder(settings, folder) do |cluster|
            cluster.start
            output.puts(cluster.folder.url("postgres"))
            input.each_line(chomp: true) do |mode|
              cluster.stop(mode: mode)
              cluster.start
              output.puts(cluster.folder.url("postgres"))
            end
          end
        end

        private

        def in_temporary_folder(settings, folder)
          Dir.mktmpdir("tasker-test-", folder) do |root|
            # The server's user, who is another one when root runs the tests, has to pass.
            File.chmod(0o711, root)
            cluster = cluster_in(File.join(root, "postgres"), SETTINGS.merge(settings))
            yield cluster
          ensure
            cluster&.stop(mode: "immediate")
            cluster&.delete
          end
        end

        def cluster_in(path, settings)
          binaries = PostgresBinaries.find
          folder = PostgresFolder.new(path, major: binaries.major)
          PostgresCluster.new(folder: folder, binaries: binaries, settings: settings)
        end
      end

      # @param owner [IO] the pipe to the second process
      def initialize(owner)
        @owner = owner
        @url = owner.gets&.chomp || raise(DatabaseUnavailable, "the private Postgres server does not start")
      end

      # Stops the server and starts it again. Returns when it accepts connections.
      #
      # @param mode [String] "fast", or "immediate": as if it had crashed
      # @return [void]
      # @raise [DatabaseUnavailable] it does not start; the reason is on the error stream
      # @example
      #   server.restart(mode: "immediate")
      def restart(mode: "fast")
        @owner.puts(mode)
        @owner.gets || raise(DatabaseUnavailable, "the private Postgres server does not start again")
      end

      # Stops and deletes the server.
      #
      # @return [void]
      def stop
        @owner.close
      end
    end
  end
end

if $PROGRAM_NAME == __FILE__
  TaskerCore::Internal::PrivateServer.keep(settings: JSON.parse(ARGV[0] || "{}"), folder: ARGV[1] || Dir.tmpdir)
end
