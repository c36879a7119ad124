# frozen_string_literal: true

require_relative "figures"
require_relative "run"

module Bench
  # The same number of steps as many small tasks, as fewer larger ones, and as one: what the end of a step costs may not
  # depend on the size of its task. Each size has a database of its own and new workers, which execute one task first:
  # what is done once for a template is not measured as a cost of its steps.
  class Size < Run
    include Figures

    # Steps of the tasks, beside those that are asked for.
    SIZES = [100, 1_000, 10_000].freeze
    # Steps of a task from which on the limits hold: in small tasks the cost of a step is a matter of chance.
    FULL = 60_000
    # What a task of so many steps may take: seconds until it is submitted, megabytes of a worker, and the CPU time of a
    # step compared with that in the smallest tasks: a quarter more is beyond what differs from run to run.
    MOST = { "submit_s" => 5, "peak_rss_mb" => 300, "ratio" => 1.25 }.freeze
    # What of a size is told for the largest one.
    TOLD = %w[submit_s steps_per_s commits_per_step wal_bytes_per_step engine_cpu_us_per_step postgres_cpu_us_per_step
              peak_rss_mb].freeze

    private

    def measure_and_check
      @sizes = []
      @problems = []
      seconds = timed { settings_of_sizes.each { |one| server.with_database { |url, name| add(one, url, name) } } }
      Result.new(MEASURES.merge(largest, "total_s" => seconds), @problems + excesses, { "sizes" => @sizes })
    end

    def settings_of_sizes
      sizes = SIZES.select { |size| size < settings.steps } << settings.steps
      sizes.map do |size|
        Settings.new(**settings.to_h, steps: size, tasks: (settings.total_steps / size.to_f).ceil)
      end
    end

    def add(one, url, name)
      @url = url
      @database = name
      say("tasks of #{one.steps} steps")
      all = Settings.new(**one.to_h, tasks: one.tasks + 1)
      figures = Fleet.open(all, url) { |fleet| execute(one, all, fleet) }
      @sizes << { "size" => one.steps, "tasks" => all.tasks, **figures.transform_values { |value| rounded(value) } }
      say(@sizes.last.to_s)
      @problems += check_of(all).after_drain(steps: @summary.steps, in_order: @summary.in_order)
    end

    def check_of(all)
      Check.new(all, url)
    end

    def execute(one, all, fleet)
      meter = Meter.new(server) { fleet.cpu_seconds }
      commits = server.commits_during(database) { work(one, all, fleet, meter) }
      measured = all.total_steps - @begun_with
      { "submit_s" => @submit_s, "first_s" => @first_s, "steps_per_s" => measured / meter.seconds,
        **meter.per_step(measured, commits: commits * measured / all.total_steps), **cost(meter, measured),
        "peak_rss_mb" => @peak_rss_mb }
    end

    def work(one, all, fleet, meter)
      connected { |client| make_in_turns(client, one, fleet) }
      @begun_with = fleet.completed_by_now
      meter.measure { fleet.wait_for(all.total_steps) }
      @peak_rss_mb = fleet.peak_rss_mb
      @summary = fleet.stop
    end

    # The others can be claimed when all of them are made, or the first thousand.
    def make_in_turns(client, one, fleet)
      @submit_s = create(client, Settings.new(**one.to_h, tasks: 1))
      @first_s = timed do
        fleet.begin
        fleet.wait_for(one.steps)
      end
      create(client, one)
    end

    # The CPU time of the engine and of Postgres for a step, and how it compares with that of the smallest size.
    def cost(meter, steps)
      cpu = [meter.engine_cpu, meter.postgres_cpu]
      return {} unless cpu.all?

      cost = cpu.sum * Meter::MICRO / steps
      @smallest ||= cost
      { "cpu_us_per_step" => cost, "ratio" => cost / @smallest }
    end

    # Of any of the sizes; what the system does not say is not judged.
    def excesses
      return [] if settings.steps < FULL

      @sizes.product(MOST.to_a).filter_map do |one, (name, most)|
        found = one[name]
        "#{name} is #{found} with tasks of #{one["size"]} steps; allowed: #{most}" if found && found > most
      end
    end

    def largest
      @sizes.last.slice(*TOLD).merge("size_ratio" => @sizes.last["ratio"])
    end
  end
end
