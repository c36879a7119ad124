# frozen_string_literal: true

require_relative "workload"

module Bench
  # Which options of bin/bench have an effect on which workloads.
  module Effects
    # How workloads are measured.
    WAYS = Workload::ALL.map(&:measured).uniq.freeze
    # Option => how those workloads are measured on which it has an effect. Others have one on all.
    EFFECTS = { tasks: WAYS - %i[idle], steps: WAYS - %i[idle], items: %i[map], "max-parallel": %i[map],
                payload: WAYS - %i[create idle], work: WAYS - %i[create idle], handler: WAYS - %i[create map],
                concurrency: WAYS - %i[create], processes: WAYS - %i[create], subscribe: %i[drain],
                seconds: %i[idle soak flat], backlog: %i[flat], profile: %i[drain map latency create] }.freeze

    private

    def effective?(option, workload)
      EFFECTS.fetch(option).include?(workload.measured)
    end

    # Refuses options that have no effect on a workload, or for all of them where each takes what it can.
    def check_effects(workloads, all:)
      (EFFECTS.keys & options.keys).each do |option|
        fit, others = workloads.partition { |workload| effective?(option, workload) }
        refuse_for(others.first, option) if others.any? && !(all && fit.any?)
      end
      refuse("--steps does not go with --items") if (%i[steps items] - options.keys).empty?
    end

    def refuse_for(workload, option)
      refuse("--#{option} is not for #{workload.name}; allowed: #{allowed_for(option)}")
    end

    def allowed_for(option)
      Workload::ALL.select { |workload| effective?(option, workload) }.map(&:name).join(", ")
    end
  end
end
