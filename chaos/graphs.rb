# frozen_string_literal: true

require "tasker_core"
require_relative "../bench/engine/graphs"
require_relative "behaviour"
require_relative "branches"
require_relative "join"
require_relative "wait"

module Chaos
  # The templates whose tasks are executed.
  module Graphs
    # Name of the template => names of the parents by name of the step, parents first.
    ALL = { "single" => Bench::Graphs.line(1), "chain" => Bench::Graphs.line(8), "diamond" => Bench::Graphs.fan(4),
            "fan" => Bench::Graphs.fan(22), "layered" => Bench::Graphs.layered(24), "joined" => Join::GRAPH,
            Wait::TEMPLATE => Wait::GRAPH, "routed" => Branches::GRAPH,
            "frail" => { "frail0" => [], "frail1" => ["frail0"], "frail2" => [], "mended" => %w[frail1 frail2],
                         "tolerant" => %w[frail0 frail2] } }.freeze
    # How steps are tried again: soon, so that a run of seconds sees it.
    RETRY = { backoff: "fixed", base_seconds: 0.05, jitter: 0.5 }.freeze
    # Where their names belong.
    NAMESPACE = "chaos"
    # Handler of all of them.
    HANDLER = "Chaos::Handler"

    module_function

    # @api private
    def template(name, parents)
      TaskerCore::TemplateDSL.template(name, source: "bin/chaos", namespace: NAMESPACE) do |dsl|
        parents.each { |step, above| dsl.step(step, depends_on: above, **options(step)) }
      end
    end

    # @api private
    def options(step)
      { handler: HANDLER, join: Join.of(step).key, retry: RETRY, retry_limit: Behaviour::RETRY_LIMIT, skippable: true,
        decides: Branches::DECISIONS.key?(step) || nil, when: Branches::CONDITIONS[step]&.expression,
        delay: Wait::DELAYS[step] }
    end

    # What is registered.
    TEMPLATES = ALL.map { |name, parents| template(name, parents) }.freeze
  end
end
