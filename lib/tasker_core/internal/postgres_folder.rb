# frozen_string_literal: true

require "digest"
require "erb"
require_relative "postmaster_file"

module TaskerCore
  module Internal
    # What is where in the folder of a private Postgres server: `data` (the cluster), `socket` (the
    # only way in) and `server.log`. Needs no Postgres program.
    #
    # @example
    #   folder = PostgresFolder.new("/var/lib/tasker_core/postgres-15", major: 15)
    #   folder.url("tasker") # => "postgres://tasker@%2Fvar%2Flib%2F...%2Fsocket:5432/tasker"
    class PostgresFolder
      # The superuser of the cluster.
      SUPERUSER = "tasker"

      # The port; only the name of the socket's file depends on it.
      PORT = 5432

      # Bytes a socket's path may have; the kernels allow 103 (macOS) and 107 (Linux).
      SOCKET_PATH_LIMIT = 100

      # Paths that need no quoting in Postgres' settings and connection strings.
      PLAIN_PATH = %r{\A[A-Za-z0-9_./+~-]+\z}.freeze

      # Where a socket goes whose own folder has no usable path. Not TMPDIR, which may be another
      # one for the next process.
      SHORT_PARENT = "/tmp"

      # @return [String] the folder itself, absolute
      attr_reader :path
      # @return [String] the cluster's data folder
      attr_reader :data
      # @return [String] the server's log file
      attr_reader :log
      # @return [Integer] the major version of Postgres that the cluster is made by
      attr_reader :major
      # @return [PostmasterFile] what is known about the server that runs, or ran last
      attr_reader :postmaster

      # @param path [String] the folder; it need not exist
      # @param major [Integer] the major version of Postgres that the cluster is made by
      def initialize(path, major:)
        @path = File.expand_path(path)
        @major = major
        @data = File.join(@path, "data")
        @log = File.join(@path, "server.log")
        @postmaster = PostmasterFile.new(@data)
      end

      # @return [Boolean] a cluster has been made in the folder
      def initialized?
        File.exist?(File.join(data, "PG_VERSION"))
      end

      # @return [String] the folder of the socket: of the running server, else of the next start
      def socket
        (postmaster.socket_folder if postmaster.pid) || socket_for_start
      end

      # @return [String] where the socket goes at the next start
      def socket_for_start
        own = File.join(path, "socket")
        return own if own.match?(PLAIN_PATH) && socket_file(own).bytesize <= SOCKET_PATH_LIMIT

        File.join(SHORT_PARENT, "tasker-#{Digest::SHA256.hexdigest(path)[0, 16]}")
      end

      # @param database [String] a database's name
      # @return [String] its URL, in a form that libpq, ruby-pg, Active Record and sqlx take alike.
      #   The port is in it because all of them would take another one from the variable PGPORT.
      def url(database)
        "postgres://#{SUPERUSER}@#{ERB::Util.url_encode(socket)}:#{PORT}/#{ERB::Util.url_encode(database)}"
      end

      private

      def socket_file(folder)
        File.join(folder, ".s.PGSQL.#{PORT}")
      end
    end
  end
end
