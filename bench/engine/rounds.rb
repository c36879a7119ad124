# frozen_string_literal: true

require_relative "fleet"
require_relative "in_database"
require_relative "measurement"
require_relative "meter"

module Bench
  # The same round of work, over and over in one database: chains, and then independent steps. Each round finds what
  # those before it left, and autovacuum comes when it wants to.
  #
  # @example
  #   Rounds.new(settings, server, url).round.linear.steps_per_s # => 31200.0
  class Rounds < Measurement
    include InDatabase

    # The workloads of which a round is made.
    LOADS = %w[linear independent].freeze
    # Tasks of one step in a round, for each task of the round of chains.
    INDEPENDENT = 4
    # The queue that workers serve.
    QUEUE = "default"

    # Of the execution of a load. The CPU time is that of the workers and of all of Postgres, autovacuum as well; nil
    # where the system does not say.
    Cost = Struct.new(:steps_per_s, :cpu_us_per_step)
    # The cost of each load, and how many steps the tables held before.
    Round = Struct.new(:linear, :independent, :steps_before)

    # @return [Float, nil] most memory that a worker had, in megabytes; nil where the system does not say
    attr_reader :peak_rss_mb

    # @param settings [Settings] of a round: its chains
    # @param server [Server]
    # @param url [String] of the database
    # @param progress [#call] is told what is being done. Default: nobody is.
    def initialize(settings, server, url, progress: ->(text) {})
      super(settings, server, progress: progress)
      @url = url
      @executed = @pending = @executions = 0
      @in_order = true
    end

    # @return [Round]
    # @raise [WorkerFailed]
    def round
      before = @executed + @pending
      Round.new(execute("linear", settings.tasks, settings.steps),
                execute("independent", settings.tasks * INDEPENDENT, 1), before)
    end

    # Makes the tasks, then lets workers execute them.
    #
    # @param workload [String]
    # @param tasks [Integer]
    # @param steps [Integer] of each
    # @return [Cost] from the first worker's registration on, as the search for claims may take time
    # @raise [WorkerFailed]
    def execute(workload, tasks, steps)
      load = load_of(workload, tasks, steps)
      connected { |client| create(client, load) }
      say("executing #{load.total_steps} steps")
      Fleet.open(settings, url) do |fleet|
        meter = Meter.new(server) { fleet.cpu_seconds }
        meter.measure do
          fleet.begin
          fleet.wait_for(load.total_steps)
        end
        cost(meter, load.total_steps).tap { note(fleet, load.total_steps) }
      end
    end

    # Makes tasks that nobody executes.
    #
    # @param (see #execute)
    # @param queue [String] another than {QUEUE}
    # @return [void]
    def leave(workload, tasks, steps, queue:)
      load = load_of(workload, tasks, steps)
      connected { |client| create(client, load, queue: queue) }
      @pending += load.total_steps
    end

    # @param pruned [Integer] steps of the tasks that were deleted. Default: 0.
    # @return [Array<String>] what is wrong with what is there now, in words; empty when nothing is
    def problems(pruned: 0)
      check.kept(complete: @executed - pruned, pending: @pending) +
        check.after_soak(executions: @executions, in_order: @in_order, steps: @executed)
    end

    private

    attr_reader :url

    def load_of(workload, tasks, steps)
      Settings.new(**settings.to_h, workload: Workload.find(workload), tasks: tasks, steps: steps)
    end

    def cost(meter, steps)
      seconds = meter.stopped_at - ask(RecordQueries::FIRST_WORKER).getvalue(0, 0).to_f
      cpu = [meter.engine_cpu, meter.postgres_cpu]
      Cost.new(steps / seconds, (cpu.sum * Meter::MICRO / steps if cpu.all?))
    end

    def note(fleet, steps)
      @executed += steps
      @peak_rss_mb = [@peak_rss_mb, fleet.peak_rss_mb].compact.max
      summary = fleet.stop
      @executions += summary.executions
      @in_order &&= summary.in_order
    end
  end
end
