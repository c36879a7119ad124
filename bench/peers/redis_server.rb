# frozen_string_literal: true

require "rbconfig"
require "socket"
require "tmpdir"

module Bench
  # A Redis server of its own, as it ships: snapshots now and then, no append-only file. It is reached through a Unix
  # socket only, in a temporary folder.
  #
  # A second process owns the server and keeps it for as long as the pipe to its standard input is open. However the
  # first process ends, killed or not, the pipe closes, and the server stops and its folder is deleted.
  #
  # @example
  #   RedisServer.open { |url| Redis.new(url: url).ping }
  class RedisServer
    # Seconds that it may take to start.
    PATIENCE = 30

    class << self
      # @yieldparam url [String]
      # @return [Object] what the block returned
      # @raise [RuntimeError] it does not start; the reason is on the error stream
      def open
        owner = IO.popen([RbConfig.ruby, __FILE__], "r+")
        yield owner.gets&.chomp || raise("the private Redis server does not start")
      ensure
        owner&.close
      end

      # What the second process does.
      #
      # @param input [IO] the server runs until this ends
      # @param output [IO] where its URL is written to
      # @return [void]
      def keep(input: $stdin, output: $stdout)
        # Ctrl-C reaches all processes of a terminal; this one ends after those that use it.
        %w[INT TERM HUP].each { |signal| trap(signal, "IGNORE") }
        Dir.mktmpdir("tasker-redis-") do |folder|
          serve(folder) do |socket|
            output.puts("unix://#{socket}")
            output.flush
            input.read
          end
        end
      end

      private

      def serve(folder)
        socket = File.join(folder, "redis.sock")
        pid = Process.spawn("redis-server", "--port", "0", "--unixsocket", socket, "--dir", folder,
                            out: File::NULL, pgroup: true)
        wait_for(socket)
        yield socket
      ensure
        if pid
          Process.kill("KILL", pid)
          Process.wait(pid)
        end
      end

      def wait_for(socket)
        deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + PATIENCE
        UNIXSocket.new(socket).close
      rescue Errno::ENOENT, Errno::ECONNREFUSED
        raise if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline

        sleep(0.005)
        retry
      end
    end
  end
end

Bench::RedisServer.keep if $PROGRAM_NAME == __FILE__
