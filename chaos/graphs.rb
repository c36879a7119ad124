# frozen_string_literal: true

require "tasker_core"
require_relative "../bench/engine/graphs"
require_relative "behaviour"
require_relative "join"

module Chaos
  # The templates whose tasks are executed.
  module Graphs
    # Name of the template => names of the parents by name of the step, parents first.
    ALL = { "single" => Bench::Graphs.line(1), "chain" => Bench::Graphs.line(8), "diamond" => Bench::Graphs.fan(4),
            "fan" => Bench::Graphs.fan(22), "layered" => Bench::Graphs.layered(24), "joined" => Join::GRAPH }.freeze
    # How steps are tried again: soon, so that a run of seconds sees it.
    RETRY = { backoff: "fixed", base_seconds: 0.05, jitter: 0.5 }.freeze
    # Where their names belong.
    NAMESPACE = "chaos"
    # Handler of all of them.
    HANDLER = "Chaos::Handler"

    module_function

    # States in which the steps of a task have to end: those whose join policy is not satisfied stay pending.
    #
    # @param name [String] of the template
    # @param seed [Integer] of the task
    # @param crashed [Array<String>] steps that ended in error because their workers died
    # @return [Hash{String => String}] state by name of the step
    # @example
    #   Graphs.states("chain", 7)["s0"] # => "complete"
    def states(name, seed, crashed: [])
      ALL.fetch(name).each_with_object({}) do |(step, parents), states|
        reached = Join.of(step).satisfied?(states.values_at(*parents))
        own = crashed.include?(step) ? "error" : Behaviour.of(seed, step).state
        states[step] = reached ? own : "pending"
      end
    end

    # @param name [String] of the template
    # @param states [Hash{String => String}] in which its steps ended
    # @return [String] state in which the task has to end: in error where a failure holds a step up, or a last step
    #   failed
    # @example
    #   Graphs.task_state("single", { "s0" => "error" }) # => "error"
    def task_state(name, states)
      parents = ALL.fetch(name).values.flatten
      failed = states.any? { |step, state| state == "pending" || (state == "error" && !parents.include?(step)) }
      failed ? "error" : "complete"
    end

    # @api private
    def template(name, parents)
      TaskerCore::TemplateDSL.template(name, source: "bin/chaos", namespace: NAMESPACE) do |dsl|
        parents.each do |step, above|
          dsl.step(step, handler: HANDLER, depends_on: above, join: Join.of(step).key, retry: RETRY,
                         retry_limit: Behaviour::RETRY_LIMIT)
        end
      end
    end

    # What is registered.
    TEMPLATES = ALL.map { |name, parents| template(name, parents) }.freeze
  end
end
