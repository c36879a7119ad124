# frozen_string_literal: true

module Micro
  # What a piece of work takes, by several clocks.
  module Clocks
    # Where Linux keeps the processor time of this process's threads.
    THREADS = "/proc/self/task"

    module_function

    # @yield the work
    # @return [Integer] nanoseconds that went by
    def elapsed_ns(&work)
      difference(Process::CLOCK_MONOTONIC, &work)
    end

    # @yield the work
    # @return [Integer] nanoseconds that the calling thread spent on a processor
    def thread_cpu_ns(&work)
      difference(Process::CLOCK_THREAD_CPUTIME_ID, &work)
    end

    # @param calls [Integer] in each of five rounds
    # @yield what is called
    # @return [Float] nanoseconds a call, in the quickest round, without what the loop itself costs
    def ns_per_call(calls)
      empty = Array.new(5) { elapsed_ns { calls.times { nil } } }.min
      full = Array.new(5) { elapsed_ns { calls.times { yield } } }.min # rubocop:disable Style/ExplicitBlockArgument -- as the empty loop
      (full - empty).fdiv(calls)
    end

    # @param name [String] how the names of the threads begin, at most 15 bytes
    # @return [Integer, nil] nanoseconds that these threads of the process spent on a processor so far; nil where
    #   the system does not tell
    def threads_cpu_ns(name)
      times = Dir.glob("#{THREADS}/*/comm").filter_map do |file|
        File.read(file.sub(/comm\z/, "schedstat")).to_i if File.read(file).start_with?(name)
      end
      times.sum if times.any?
    end

    def difference(clock)
      start = Process.clock_gettime(clock, :nanosecond)
      yield
      Process.clock_gettime(clock, :nanosecond) - start
    end
    private_class_method :difference
  end
end
