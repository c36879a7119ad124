# frozen_string_literal: true

require "etc"

module TaskerCore
  module Internal
    # How much memory a process has, pages that it shares with others among it.
    module ProcessMemory
      # Bytes of a MB.
      MEGABYTE = 1_048_576

      module_function

      # @param pid [Integer]
      # @return [Integer, nil] MB, rounded down; nil where there is no such process
      # @example
      #   ProcessMemory.megabytes(Process.pid) # => 48
      def megabytes(pid)
        resident = File.read("/proc/#{pid}/statm").split.fetch(1).to_i
        resident * Etc.sysconf(Etc::SC_PAGESIZE) / MEGABYTE
      rescue SystemCallError
        nil
      end
    end
  end
end
