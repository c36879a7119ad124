# frozen_string_literal: true

require "fileutils"
require_relative "../errors"
require_relative "environment_settings"
require_relative "file_lock"
require_relative "postgres_binaries"
require_relative "postgres_cluster"
require_relative "postgres_folder"
require_relative "privileges"

module TaskerCore
  module Internal
    # The Postgres server that a project without a database of its own gets: made from the system's
    # Postgres programs at the first start, reached through a Unix socket only, its data kept between
    # runs with the durability that Postgres ships with.
    #
    # The data folder is the value of TASKER_DATA_DIR, else /var/lib/tasker_core for root, else
    # tasker_core in $XDG_DATA_HOME or ~/.local/share. The cluster is in its subfolder
    # `postgres-<major version>`; an existing one is used as long as its version is installed.
    #
    # All methods may be called by several processes at once.
    #
    # @example what the command line does
    #   postgres = TaskerCore::Internal::EmbeddedPostgres.new
    #   postgres.start        # => :started
    #   postgres.url          # => "postgres://tasker@%2Fvar%2Flib%2Ftasker_core%2Fpostgres-15%2Fsocket:5432/tasker"
    #   postgres.status.pid   # => 4711
    #   postgres.stop         # => :stopped
    class EmbeddedPostgres
      # The database that is there after a start.
      DATABASE = "tasker"

      # The data folder when root runs the program.
      ROOT_DATA_FOLDER = "/var/lib/tasker_core"

      # Seconds to wait for another process that is just starting or stopping the server.
      LOCK_TIMEOUT_SECONDS = 120

      # What {#status} tells: `pid` of the server, nil unless it runs; `major` version of Postgres;
      # `data_folder`, `log` and `url`, which are there whether it runs or not.
      Status = Struct.new(:pid, :major, :data_folder, :log, :url, keyword_init: true) do
        # @return [Boolean]
        def running?
          !pid.nil?
        end
      end

      class << self
        # @param env [Hash{String => String}] environment variables
        # @return [String] the data folder, absolute
        # @raise [ConfigurationError] there is no home folder to put it in, or the variable that names it is not UTF-8
        def default_data_folder(env: ENV)
          folder = EnvironmentSettings.text(env, "TASKER_DATA_DIR")
          return File.expand_path(folder) if folder
          return ROOT_DATA_FOLDER if Process.euid.zero?

          File.join(user_data_folder(env), "tasker_core")
        end

        private

        # An XDG path that is not absolute is to be ignored (XDG Base Directory Specification).
        def user_data_folder(env)
          return env["XDG_DATA_HOME"] if env["XDG_DATA_HOME"].to_s.start_with?("/")

          File.join(env["HOME"].to_s.empty? ? Dir.home : env["HOME"], ".local", "share")
        rescue ArgumentError
          raise ConfigurationError, "there is no home folder to keep the embedded Postgres in; set TASKER_DATA_DIR " \
                                    "to a folder for its data, or DATABASE_URL to a database"
        end
      end

      # @return [String] the data folder, absolute
      attr_reader :data_folder

      # @param data_folder [String] where the clusters are
      def initialize(data_folder: self.class.default_data_folder)
        @data_folder = File.expand_path(data_folder)
      end

      # Starts the server unless it runs. Returns when it accepts connections and has the database
      # {DATABASE}. The first start makes the cluster, which takes a few seconds.
      #
      # @return [Symbol] :started, or :running when it ran already
      # @raise [DatabaseUnavailable] Postgres is not installed (says what to install) or does not start
      # @raise [ConfigurationError] the data folder cannot be used
      def start
        return :running if ready?

        exclusively { ready? ? :running : start_now }
      end

      # Stops the server; sessions are ended, open transactions undone, data kept.
      #
      # @return [Symbol] :stopped, or :not_running when there was nothing to stop
      # @raise [DatabaseUnavailable] it does not stop
      def stop
        existing ? exclusively { stop_now } : :not_running
      end

      # Deletes the server with all its data and starts an empty one.
      #
      # @param force [Boolean] must be true: all tasks and their history are lost
      # @return [Symbol] :started
      # @raise [ConfigurationError] `force` is not true
      # @raise [DatabaseUnavailable] Postgres is not installed or does not start
      def reset(force: false)
        raise ConfigurationError, needs_force unless force

        exclusively do
          stop_now
          cluster.delete
          start_now
        end
      end

      # @return [Status] frozen
      # @raise [DatabaseUnavailable] Postgres was never started here and is not installed
      def status
        where = folder
        Status.new(pid: where.postmaster.pid, major: where.major, data_folder: data_folder,
                   log: where.log, url: where.url(DATABASE)).freeze
      end

      # @return [String] the URL of the database, whether the server runs or not. libpq, ruby-pg,
      #   Active Record and sqlx take it.
      # @raise [DatabaseUnavailable] Postgres was never started here and is not installed
      def url
        status.url
      end

      private

      # Where the cluster is, or is going to be.
      def folder
        existing || folder_of(PostgresBinaries.find.major)
      end

      # The cluster of the newest version that was made here.
      def existing
        majors = Dir.glob("postgres-*", base: data_folder).filter_map { |name| name[/\d+\z/]&.to_i }
        majors.sort.reverse.map { |major| folder_of(major) }.find(&:initialized?)
      end

      def folder_of(major)
        PostgresFolder.new(File.join(data_folder, "postgres-#{major}"), major: major)
      end

      def cluster
        PostgresCluster.new(folder: folder, binaries: PostgresBinaries.find(major: existing&.major))
      end

      # The database is made last: a server that accepts connections while the mark is missing is
      # just being set up by another process.
      def ready?
        where = existing
        !where.nil? && where.postmaster.ready? && File.exist?(mark_in(where))
      end

      def mark_in(where)
        File.join(where.path, "database_made")
      end

      def start_now
        server = cluster
        server.start
        server.create_database(DATABASE)
        FileUtils.touch(mark_in(server.folder))
        :started
      end

      def stop_now
        return :not_running unless existing&.postmaster&.pid

        cluster.stop
        :stopped
      end

      def exclusively(&block)
        FileUtils.mkdir_p(data_folder)
        FileLock.new(File.join(data_folder, "lock"), timeout: LOCK_TIMEOUT_SECONDS).hold(&block)
      rescue SystemCallError => e
        reason = SystemCallError.new(nil, e.errno).message
        raise ConfigurationError, "cannot use the data folder #{data_folder}: #{reason}; set TASKER_DATA_DIR to a " \
                                  "folder that you may write to, or DATABASE_URL to a database"
      end

      def needs_force
        "a reset deletes all tasks in #{data_folder}; confirm it with force: true (command line: --force)"
      end
    end
  end
end
