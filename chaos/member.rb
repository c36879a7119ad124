# frozen_string_literal: true

require "json"
require "rbconfig"
require_relative "clock"

module Chaos
  # A process of the harness: a worker of the {Fleet}, or the {Consumer}'s.
  class Member
    # The program of workers.
    PROGRAM = File.join(__dir__, "worker.rb")

    # @return [Integer]
    attr_reader :pid
    # @return [String] path of what it wrote to its error stream
    attr_reader :log
    # @return [Float] when it was started, on the monotonic clock
    attr_reader :started_at

    # @param order [Hash{String => Object}] as {Worker} takes it
    # @param library [String] folder of the gem's Ruby files
    # @param log [String] path of a file
    # @param env [Hash{String => String}] environment besides this process's own
    # @param program [String] path of what it executes. Default: {PROGRAM}.
    def initialize(order, library:, log:, env: {}, program: PROGRAM)
      @log = log
      @report, output = IO.pipe
      input, @lifeline = IO.pipe
      @started_at = Clock.now
      @pid = Process.spawn(env, RbConfig.ruby, "-I", library, program, JSON.generate(order),
                           in: input, out: output, err: [log, "a"], pgroup: true)
      [input, output].each(&:close)
    end

    # @param name [String] KILL and TERM end it, STOP and CONT do not
    # @return [void]
    def signal(name)
      @asked = name if name == "KILL" || (name == "TERM" && !@asked)
      Process.kill(name, pid) unless @status
    end

    # @return [Boolean] whether it has ended
    def ended?
      @status ||= Process.wait2(pid, Process::WNOHANG)&.last
      !@status.nil?
    end

    # Waits until it has ended.
    #
    # @return [Process::Status]
    def status
      @status ||= Process.wait2(pid).last
    end

    # Once it has ended.
    #
    # @return [String, nil] why that is not as it should be; nil: it is
    def complaint
      return if @asked == "KILL" || (@asked == "TERM" && (@status.success? || lines.empty?))

      "worker process #{pid} ended with #{@status.inspect}, asked for #{@asked || "nothing"}: #{last_words}"
    end

    # Once it has ended in order.
    #
    # @return [Hash{String => Object}] in_order, finished, given_back, interrupted, stale; {} where it could not say
    def summary
      JSON.parse(lines.last || "{}")
    end

    # @return [String] the last lines of its log
    def last_words
      File.readlines(log).last(3).map(&:strip).join(" / ")
    end

    # Ends it at once, if it still runs.
    #
    # @return [void]
    def close
      signal("KILL") unless ended?
      status
      [@report, @lifeline].each(&:close)
    end

    private

    # None where it was still loading, when TERM ends it at once.
    def lines
      @lines ||= @report.readlines
    end
  end
end
