# frozen_string_literal: true

require "tasker_core"
require_relative "../bench/engine/graphs"
require_relative "anew"
require_relative "approval"
require_relative "batch"
require_relative "behaviour"
require_relative "branches"
require_relative "budget"
require_relative "effects"
require_relative "growth"
require_relative "hung"
require_relative "join"
require_relative "nested"
require_relative "poll"
require_relative "stale"
require_relative "timed"
require_relative "undo"
require_relative "wait"

module Chaos
  # The templates whose tasks are executed.
  module Graphs
    # Name of the template => names of the parents by name of the step, parents first.
    SUBMITTED = {
      "single" => Bench::Graphs.line(1), "chain" => Bench::Graphs.line(8), "diamond" => Bench::Graphs.fan(4),
      "fan" => Bench::Graphs.fan(22), "layered" => Bench::Graphs.layered(24), "joined" => Join::GRAPH,
      "routed" => Branches::GRAPH, Wait::TEMPLATE => Wait::GRAPH, Nested::TEMPLATE => Nested::GRAPH,
      "batched" => Batch::GRAPH, **Budget::GRAPHS, Undo::TEMPLATE => Undo::GRAPH, **Growth::GRAPHS,
      Timed::TEMPLATE => Timed::GRAPH, **Anew::GRAPHS, Approval::TEMPLATE => Approval::GRAPH,
      Stale::TEMPLATE => Stale::GRAPH, Effects::TEMPLATE => Effects::GRAPH, Hung::TEMPLATE => Hung::GRAPH,
      "frail" => { "frail0" => [], "frail1" => ["frail0"], "frail2" => [], "mended" => %w[frail1 frail2],
                   "tolerant" => %w[frail0 frail2] }
    }.freeze
    # With the template of tasks that the engine makes by itself.
    ALL = { **SUBMITTED, Undo::UNDOING => Undo::UNDOING_GRAPH }.freeze
    # How steps are tried again: soon, so that a run of seconds sees it.
    RETRY = { backoff: "fixed", base_seconds: 0.05, jitter: 0.5 }.freeze
    # Where their names belong.
    NAMESPACE = "chaos"
    # Handler of all of them.
    HANDLER = "Chaos::Handler"

    module_function

    # @param record [Record]
    # @return [Hash{String => Array<String>}] names of the parents by name of the step, parents first
    # @example
    #   Graphs.of(record) # => {"s0" => []}
    def of(record)
      Growth::GRAPHS.key?(record.template) ? Growth.graph(record) : ALL.fetch(record.template)
    end

    # @api private
    def template(name, parents)
      TaskerCore::TemplateDSL.template(name, source: "bin/chaos", namespace: NAMESPACE, budget: budget(name)) do |dsl|
        parents.each do |step, above|
          dsl.step(step, depends_on: Branches.edges(above, step), **options(step), **undoing(name, step))
        end
        dsl.step(Growth::PROTOTYPE, dynamic: true, **options(Growth::PROTOTYPE)) if name == Growth::TEMPLATE
      end
    end

    # @api private
    def budget(name)
      Budget::ALL[name]&.transform_keys(&:to_s)
    end

    # @api private
    def undoing(template, step)
      return {} unless template == Undo::TEMPLATE && Undo::STEPS.include?(step)

      { compensate: { handler_class: Undo::HANDLER, default_retry_limit: Behaviour::RETRY_LIMIT,
                      retry: RETRY } }
    end

    # @api private
    def options(step)
      total = Timed::TOTALS[step]
      { handler: handler(step), join: Join.of(step).key,
        retry: total ? Timed::RETRY : RETRY, skippable: true,
        retry_limit: Behaviour.retry_limit(step), total_timeout: total, map: Growth.map_options(step),
        decides: Branches::DECISIONS.key?(step) || nil, when: Branches::CONDITIONS[step]&.expression,
        delay: Wait::DELAYS[step], reserve_cost: Budget.cost(step), **Hung.options(step) }
    end

    # @api private
    def handler(step)
      return Effects::HANDLER if Effects.of?(step)

      step == Approval::STEP ? Approval::HANDLER : HANDLER
    end

    # What is registered.
    TEMPLATES = SUBMITTED.map { |name, parents| template(name, parents) }.freeze
  end
end
