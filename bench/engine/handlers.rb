# frozen_string_literal: true

require "tasker_core"

module Bench
  # What was executed in this process. Each thread counts for itself, so that no count is lost.
  module Executions
    @cells = []
    @starts = []

    class << self
      # @return [Array<Array(Integer, Integer)>] task, and nanoseconds of the monotonic clock when a handler started
      attr_reader :starts

      # Counts one execution.
      #
      # @return [void]
      def add
        (Thread.current[:bench_executions] ||= cell)[0] += 1
      end

      # @return [Integer] executions in all threads
      def count
        @cells.sum(&:first)
      end

      private

      def cell
        [0].tap { |cell| @cells << cell }
      end
    end
  end

  # Handlers that do nothing but to compute for some time, and to return what they were told to.
  module Handlers
    class << self
      # @return [Object] what handlers return
      attr_accessor :results
      # @return [Integer] CPU time of each, in microseconds
      attr_accessor :work_us

      # Takes the CPU time.
      #
      # @return [void]
      def work
        return if work_us.zero?

        till = cpu_us + work_us
        nil while cpu_us < till
      end

      private

      # @return [Integer] CPU time of this thread, in microseconds
      def cpu_us
        Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID, :microsecond)
      end
    end

    # Counts its executions.
    class Plain < TaskerCore::StepHandler::Base
      # @return [Object]
      def process(_task, _sequence, _step)
        Executions.add
        Handlers.work
        Handlers.results
      end
    end

    # Reads the results of all items of the map step above, and returns how many there are.
    class Reducer < TaskerCore::StepHandler::Base
      # @return [Integer]
      def process(_task, sequence, _step)
        Executions.add
        sequence.each_item("each").count { |item| item.results == Handlers.results }
      end
    end

    # Notes when it starts as well.
    class Timed < Plain
      # @return [Object]
      def process(task, sequence, step)
        Executions.starts << [task.task_id, Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond)]
        super
      end
    end
  end
end
