# frozen_string_literal: true

require "etc"

module Bench
  # CPU time of other processes on this machine, user and system together. Linux only; elsewhere nothing is known.
  module ProcessClock
    # Ends the name of the program in /proc/PID/stat; state, parent and so on follow.
    NAME_END = ") "
    # Places behind the name in /proc/PID/stat: the parent, and user and system ticks of children that have ended.
    PARENT = 1
    CHILDREN = (13..14).freeze

    module_function

    # To the nanosecond, unlike the ticks in /proc. The clock's number is made as `clock_getcpuclockid` makes it.
    #
    # @param pid [Integer]
    # @return [Float, nil] seconds; nil: there is no such process, or no such clock on this system
    # @example
    #   ProcessClock.seconds(Process.pid) # => 0.25
    def seconds(pid)
      Process.clock_gettime((~pid << 3) | 2)
    rescue Errno::EINVAL
      nil
    end

    # A process and its direct children, those that have ended included.
    #
    # @param pid [Integer]
    # @return [Float, nil] seconds; nil as for {seconds}
    def family_seconds(pid)
      return unless seconds(pid)

      # A child that ends meanwhile would count twice or not at all.
      loop do
        children = children(pid)
        sum = [pid, *children].sum { |one| seconds(one) || 0 } + ended_seconds(pid)
        return sum if children(pid) == children
      end
    end

    # @param pid [Integer]
    # @return [Integer, nil] id of the process that started it
    def parent(pid)
      fields(pid)&.at(PARENT)&.to_i
    end

    # @param pid [Integer]
    # @return [Float, nil] most memory that it had at a time, in megabytes (2^20 bytes)
    def peak_rss_mb(pid)
      status_mb(pid, "VmHWM")
    end

    # @param pid [Integer]
    # @return [Float, nil] memory that it has, in megabytes (2^20 bytes)
    def rss_mb(pid)
      status_mb(pid, "VmRSS")
    end

    # @api private
    def status_mb(pid, name)
      File.read("/proc/#{pid}/status")[/^#{name}:\s+(\d+) kB/, 1]&.to_i&.fdiv(1024)
    rescue SystemCallError
      nil
    end

    # @api private
    def ended_seconds(pid)
      fields(pid)[CHILDREN].sum(&:to_i).fdiv(Etc.sysconf(Etc::SC_CLK_TCK))
    end

    # @api private
    def children(pid)
      Dir.children("/proc").grep(/\A\d+\z/).map(&:to_i).select { |other| parent(other) == pid }
    end

    # @api private
    def fields(pid)
      File.read("/proc/#{pid}/stat").rpartition(NAME_END).last.split
    rescue SystemCallError
      nil
    end
  end
end
