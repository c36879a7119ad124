# frozen_string_literal: true

require "fileutils"
require "shellwords"
require_relative "../errors"
require_relative "command"
require_relative "postgres_binaries"
require_relative "postgres_folder"
require_relative "privileges"
require_relative "clock"

module TaskerCore
  module Internal
    # Makes, starts and stops one private Postgres server, which listens on a Unix socket that only
    # its user and root can reach. Durability is as Postgres ships it: a crash loses nothing that was
    # committed.
    #
    # Nothing here guards against two processes that start or stop the same server at the same
    # time; {EmbeddedPostgres} does.
    #
    # @example
    #   cluster = PostgresCluster.new(folder: PostgresFolder.new("/tmp/pg", major: 15),
    #                                 binaries: PostgresBinaries.find(major: 15))
    #   cluster.start
    #   cluster.create_database("tasker")
    #   cluster.stop
    class PostgresCluster
      # Seconds a server may take to start (after a crash it replays its log) or to stop.
      TIMEOUT_SECONDS = 60

      # Seconds to wait for the processes of a killed server to notice that it is gone.
      ORPHANS_SECONDS = 10

      # What the server says as long as such processes hold its memory.
      ORPHANS = /pre-existing shared memory block/.freeze

      # Bytes of log that a start leaves in place; a longer one is put aside as server.log.1.
      LOG_LIMIT = 1_000_000

      # Locales for a new cluster, the order of text in which is the same on every machine. The
      # second is for systems without the first.
      LOCALES = %w[C.UTF-8 C].freeze

      # @return [PostgresFolder] what is where
      attr_reader :folder
      # @return [Privileges] the user that runs the server
      attr_reader :privileges

      # @param folder [PostgresFolder] where the cluster is or will be; its parent must exist
      # @param binaries [PostgresBinaries] the programs to use
      # @param privileges [Privileges] the user that runs the server
      # @param settings [Hash{String => Object}] settings as in postgresql.conf, for each start
      def initialize(folder:, binaries:, privileges: Privileges.current, settings: {})
        @folder = folder
        @binaries = binaries
        @privileges = privileges
        @settings = settings
      end

      # Starts the server, after making the cluster if there is none; returns when it accepts
      # connections.
      #
      # @return [void]
      # @raise [ConfigurationError] the folder cannot be used
      # @raise [DatabaseUnavailable] a Postgres program failed; the message says where its log is
      def start
        make_folder
        make_cluster unless folder.initialized?
        folder.postmaster.disown
        privileges.private_folder(folder.socket_for_start)
        rotate_log
        launch
      end

      # Stops the server; sessions are ended, open transactions undone. Does nothing without one.
      #
      # @param mode [String] "fast", or "immediate" for one whose data is not needed any more
      # @return [void]
      # @raise [DatabaseUnavailable] it did not stop
      def stop(mode: "fast")
        return unless folder.postmaster.pid

        run("pg_ctl", "stop", "-D", folder.data, "-w", "-t", TIMEOUT_SECONDS.to_s, "-m", mode)
      rescue Command::Failed => e
        raise DatabaseUnavailable, "cannot stop the Postgres in #{folder.path}: #{e.message}" if folder.postmaster.pid
      end

      # @param name [String] a database's name, an ordinary identifier; one that exists is left alone
      # @return [void]
      # @raise [DatabaseUnavailable] the server refuses
      def create_database(name)
        return unless query("SELECT 1 FROM pg_database WHERE datname = '#{name}'").empty?

        query("CREATE DATABASE #{name}")
      rescue Command::Failed => e
        raise DatabaseUnavailable, "cannot create the database #{name} in #{folder.path}: #{e.message}"
      end

      # Deletes all that belongs to the server, which must not run.
      #
      # @return [void]
      def delete
        FileUtils.rm_rf([folder.socket_for_start, folder.path])
      end

      private

      def make_folder
        privileges.private_folder(folder.path)
        Command.run(privileges.wrap(["test", "-x", folder.path]))
      rescue Command::Failed
        raise ConfigurationError, "the user #{privileges.user.name}, who runs the server, cannot enter " \
                                  "#{folder.path}; choose a data folder that this user may enter (TASKER_DATA_DIR)"
      end

      # A cluster is there when it is complete: initdb works in another folder, which is renamed.
      def make_cluster
        unfinished = "#{folder.data}.unfinished"
        FileUtils.rm_rf(unfinished)
        initdb(unfinished)
        File.rename(unfinished, folder.data)
      end

      def initdb(data)
        failures = LOCALES.each_with_object([]) do |locale, failed|
          return run("initdb", "-D", data, "-U", PostgresFolder::SUPERUSER, "-A", "trust", "-E", "UTF8",
                     "--locale=#{locale}")
        rescue Command::Failed => e
          failed << e.message
        end
        raise DatabaseUnavailable, "cannot make a Postgres cluster in #{folder.path}: #{failures.join("; ")}"
      end

      def launch
        deadline = Clock.seconds + ORPHANS_SECONDS
        while (failure = try_to_launch)
          raise DatabaseUnavailable, not_started(failure) unless failure.match?(ORPHANS) && Clock.seconds < deadline

          sleep(0.1)
        end
      end

      # @return [String, nil] what went wrong, in the words of pg_ctl and of the server's log
      def try_to_launch
        logged = log_size
        run("pg_ctl", "start", "-D", folder.data, "-w", "-t", TIMEOUT_SECONDS.to_s, "-l", folder.log, "-o", options)
        nil
      rescue Command::Failed => e
        "#{e.message}\n#{File.binread(folder.log, nil, logged) if log_size > logged}".scrub
      end

      def options
        settings = { "unix_socket_directories" => folder.socket_for_start, "unix_socket_permissions" => "0700",
                     "listen_addresses" => "", "port" => PostgresFolder::PORT }.merge(@settings)
        settings.map { |name, value| "-c #{Shellwords.escape("#{name}=#{value}")}" }.join(" ")
      end

      def not_started(failure)
        told = failure.lines(chomp: true).grep(/FATAL|DETAIL|HINT/).last(3)
        told = failure.lines(chomp: true).last(1) if told.empty?
        "the Postgres server in #{folder.path} did not start: #{told.join(" ")} (its log: #{folder.log})"
      end

      def rotate_log
        File.rename(folder.log, "#{folder.log}.1") if log_size > LOG_LIMIT
      end

      def log_size
        File.size?(folder.log) || 0
      end

      # @return [String] one line for each row
      def query(sql)
        run("psql", "-XAtqw", "-h", folder.socket, "-p", PostgresFolder::PORT.to_s, "-U", PostgresFolder::SUPERUSER,
            "-d", "postgres", "-c", sql)
      end

      def run(program, *arguments)
        Command.run(privileges.wrap([@binaries.path(program), *arguments]))
      end
    end
  end
end
