# frozen_string_literal: true

require_relative "drain"
require_relative "map_queries"

module Bench
  # Tasks of a map step over a list of numbers, and of a reducer below it that reads all items. Each item is executed
  # once; the reducer starts once, after the last of them.
  class Map < Drain
    # The steps that the template has.
    MAP = "each"
    REDUCER = "reduce"

    # @param settings [Settings]
    # @return [TaskerCore::TaskTemplate]
    def self.template(settings)
      map = { over: "context.numbers", max_parallel: settings.max_parallel }.compact
      TaskerCore::TemplateDSL.template(settings.workload.template_name, source: "bin/bench") do |dsl|
        dsl.step(MAP, handler: "Bench::Handlers::Plain", map: map)
        dsl.step(REDUCER, handler: "Bench::Handlers::Reducer", depends_on: MAP)
      end
    end

    private

    def measure
      measures = super
      first, last, attempts = ask(MapQueries::ITEMS).values.first
      { **measures, "first_item_s" => first.to_f - first_claim,
                    "items_per_s" => attempts.to_i / (last.to_f - first.to_f) }
    end

    # A map step has none.
    def attempts
      settings.total_steps - settings.tasks
    end

    # Each list has as many numbers as there are to be items.
    def create(client)
      say("making #{settings.tasks} tasks of #{settings.items} items")
      client.register(Map.template(settings))
      context = { "numbers" => [*0...settings.items] }
      timed { settings.tasks.times { client.submit(settings.workload.template_name, context: context) } }
    end

    # When the first step was claimed, a map step.
    def first_claim
      ask(MapQueries::FIRST_CLAIM).getvalue(0, 0).to_f
    end

    def problems
      check.after_map(steps: @summary.steps, in_order: @summary.in_order)
    end
  end
end
