# frozen_string_literal: true

require_relative "drain"

module Bench
  # One task at a time on an engine that does nothing else. Handlers note when they start, on the clock that all
  # processes of a machine share: the time between two starts of a line is one end, one commit and one claim.
  class Latency < Drain
    # Nanoseconds in a millisecond.
    NANO_PER_MILLI = 1_000_000.0

    private

    def measure
      Fleet.open(settings, url) do |fleet|
        connected { |client| client.register(settings.workload.template(settings.steps)) }
        costs = execute(fleet)
        { "total_s" => @meter.seconds, **costs, **times }
      end
    end

    def work(fleet)
      say("executing #{settings.tasks} tasks, one after the other")
      connected do |client|
        @meter.measure do
          fleet.begin
          @submitted = submit_each(client, fleet)
        end
      end
    end

    # @return [Hash{Integer => Integer}] when each task was submitted, in nanoseconds
    def submit_each(client, fleet)
      Array.new(settings.tasks) do |number|
        now = Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond)
        task_id = client.submit(settings.workload.template_name, context: { "number" => number })
        fleet.wait_for((number + 1) * settings.steps)
        [task_id, now]
      end.to_h
    end

    def times
      starts = starts_of_tasks.transform_values { |pairs| pairs.map(&:last) }
      handovers = starts.values.flat_map { |times| times.each_cons(2).map { |one, other| other - one } }
      submits = starts.map { |task_id, times| times.first - @submitted.fetch(task_id) }
      { "handover_p50_ms" => percentile(handovers, 0.50), "handover_p99_ms" => percentile(handovers, 0.99),
        "submit_p50_ms" => percentile(submits, 0.50), "submit_p99_ms" => percentile(submits, 0.99) }
    end

    # Step and moment of each start, one after the other.
    def starts_of_tasks
      bits = TaskerCore::Internal::Bridge::STEP_INDEX_BITS
      @summary.starts.sort_by(&:last).group_by { |step_id, _| step_id >> bits }
    end

    def problems
      super + out_of_line
    end

    # Ids of steps are in the order of the line.
    def out_of_line
      starts_of_tasks.values.flat_map { |starts| starts.map(&:first).each_cons(2).select { |one, other| one >= other } }
                     .map { |one, other| "the handler of step #{other} began after that of step #{one}" }
    end

    # The nearest rank: the smallest time that is no shorter than this part of all.
    def percentile(nanoseconds, part)
      sorted = nanoseconds.sort
      sorted[(part * sorted.size).ceil - 1]&./(NANO_PER_MILLI)
    end
  end
end
