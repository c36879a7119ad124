# frozen_string_literal: true

require_relative "../errors"

module TaskerCore
  module Internal
    # The file postmaster.pid, which a running Postgres server keeps in its data folder and a killed
    # one leaves behind. Its lines: process id, data folder, start time, port, socket folder, listen
    # address, shared memory key, status (manual of Postgres, "Database File Layout").
    class PostmasterFile
      # A process id beyond every system's largest one, so certainly nobody's.
      NOBODY = 2_147_483_647

      # @return [String] the file's path
      attr_reader :path

      # @param data_folder [String] the server's data folder
      def initialize(data_folder)
        @data_folder = data_folder
        @path = File.join(data_folder, "postmaster.pid")
      end

      # @return [Integer, nil] the server's process id, nil when no server of this folder is alive
      # @raise [ConfigurationError] the folder is closed to this user
      def pid
        pid = recorded_pid
        pid if pid && server?(pid)
      end

      # @return [Boolean] the server is alive and accepts connections
      def ready?
        !pid.nil? && lines[7].to_s.strip == "ready"
      end

      # @return [String, nil] the folder with the server's socket, nil when there is no file
      def socket_folder
        lines[4]
      end

      # Makes a file that a dead server left harmless. A process id is used again after a restart of
      # the machine, and Postgres takes any process of the same user that has it for the server and
      # refuses to start. The file itself must stay: by the shared memory key in it Postgres finds
      # out whether processes of the dead server still write to the data.
      #
      # @return [void]
      def disown
        return if recorded_pid.nil? || pid

        [path, socket_lock].each { |file| replace_first_line(file) if File.file?(file) }
      end

      private

      def lines
        File.readlines(path, chomp: true)
      rescue Errno::ENOENT
        []
      rescue Errno::EACCES
        raise ConfigurationError, "the Postgres server in #{@data_folder} is another user's; choose a data folder of " \
                                  "your own (TASKER_DATA_DIR) or name a database in DATABASE_URL"
      end

      def recorded_pid
        Integer(lines.first.to_s.strip, exception: false)
      end

      # A process of this folder has the folder as a word of its command line.
      def server?(pid)
        command_of(pid).b.match?(/[\0 ]#{Regexp.escape(@data_folder.b)}([\0 ]|\z)/n)
      end

      def command_of(pid)
        return File.binread("/proc/#{pid}/cmdline") if File.directory?("/proc/self")

        IO.popen(["ps", "-o", "command=", "-p", pid.to_s], err: File::NULL, &:read)
      rescue Errno::ENOENT, Errno::ESRCH
        ""
      end

      def socket_lock
        File.join(socket_folder.to_s, ".s.PGSQL.#{lines[3]}.lock")
      end

      def replace_first_line(file)
        _first, *rest = File.readlines(file)
        File.write(file, ["#{NOBODY}\n", *rest].join)
      end
    end
  end
end
