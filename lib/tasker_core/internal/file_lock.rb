# frozen_string_literal: true

require_relative "../errors"
require_relative "clock"

module TaskerCore
  module Internal
    # Mutual exclusion between processes through a lock on a file. The lock ends with the process
    # that holds it, however that ends; the file stays.
    #
    # @example
    #   FileLock.new("/var/lib/tasker_core/lock", timeout: 60).hold { start_server }
    class FileLock
      # Seconds between two looks at a lock that another process holds.
      INTERVAL_SECONDS = 0.02

      # @param path [String] the file, made when it is missing
      # @param timeout [Numeric] seconds to wait for another process
      def initialize(path, timeout:)
        @path = path
        @timeout = timeout
      end

      # @yield while no other process holds the lock
      # @return [Object] what the block returns
      # @raise [DatabaseUnavailable] another process held it for the whole timeout
      def hold
        File.open(@path, File::RDWR | File::CREAT, 0o600) do |file|
          wait_for(file)
          yield
        end
      end

      private

      def wait_for(file)
        deadline = Clock.seconds + @timeout
        until file.flock(File::LOCK_EX | File::LOCK_NB)
          raise DatabaseUnavailable, held if Clock.seconds > deadline

          sleep(INTERVAL_SECONDS)
        end
      end

      def held
        "another process has been starting or stopping the Postgres server for #{@timeout} s (it holds #{@path})"
      end
    end
  end
end
