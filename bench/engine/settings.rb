# frozen_string_literal: true

module Bench
  # One measurement: a workload and everything about it that can be chosen. `seconds` is nil for workloads that end
  # when all is done; `backlog`, in steps, is for the workload flat; `subscribe` is true where each process has a
  # subscriber to every event, else nil. `work` is the CPU time of each handler, in microseconds. `max_parallel` is for
  # the workload map: how many items may run at a time, nil for all.
  Settings = Struct.new(:workload, :tasks, :steps, :concurrency, :processes, :handler, :payload, :work, :seconds,
                        :backlog, :subscribe, :max_parallel, keyword_init: true) do
    # @return [Integer] steps of all tasks
    def total_steps
      tasks * steps
    end

    # @return [Integer] items of each map step
    def items
      steps - 2
    end

    # @return [Integer] edges of all tasks
    def total_edges
      tasks * workload.parents(steps).sum { |_, parents| parents.size }
    end

    # @return [Object] what each handler returns: a string of `payload` bytes, or a small hash
    def results
      payload.zero? ? { "ok" => true } : "x" * payload
    end

    # @return [Hash{String => Object}] for the report
    def to_report
      { "workload" => workload.name, "handler" => handler, "processes" => processes, "concurrency" => concurrency,
        "payload" => payload, "work_us" => work, "tasks" => tasks, "steps" => total_steps, "edges" => total_edges,
        "seconds" => seconds, "backlog" => backlog, "subscribe" => subscribe, "max_parallel" => max_parallel }.compact
    end
  end
end
