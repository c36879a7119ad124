# frozen_string_literal: true

require "tasker_core"

module Bench
  # What was executed in this process. Each thread notes for itself, so that none is lost.
  module Executions
    @cells = []
    @starts = []

    class << self
      # @return [Boolean] whether the steps are noted, or counted only: for as many that noting them takes memory
      attr_accessor :noted
      # @return [Array<Array(Integer, Integer)>] step, and nanoseconds of the monotonic clock when its handler started
      attr_reader :starts

      # Notes one execution.
      #
      # @param step [TaskerCore::Step]
      # @return [void]
      def add(step)
        cell = (Thread.current[:bench_executions] ||= new_cell)
        noted ? cell << step.step_id : cell[0] += 1
      end

      # @return [Integer] executions in all threads
      def count
        noted ? steps.size : @cells.sum(&:first)
      end

      # @return [Array<Integer>] id of the step of each execution in all threads, in no order
      def steps
        noted ? @cells.flatten : []
      end

      private

      def new_cell
        (noted ? [] : [0]).tap { |cell| @cells << cell }
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

    # Notes its executions.
    class Plain < TaskerCore::StepHandler::Base
      # @return [Object]
      def process(_task, _sequence, step)
        Executions.add(step)
        Handlers.work
        Handlers.results
      end
    end

    # Reads the results of all items of the map step above, and returns how many there are.
    class Reducer < TaskerCore::StepHandler::Base
      # @return [Integer]
      def process(_task, sequence, step)
        Executions.add(step)
        sequence.each_item("each").count { |item| item.results == Handlers.results }
      end
    end

    # Notes when it starts as well.
    class Timed < Plain
      # @return [Object]
      def process(_task, _sequence, step)
        Executions.starts << [step.step_id, Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond)]
        super
      end
    end
  end
end
