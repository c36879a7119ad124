# frozen_string_literal: true

require "tasker_core"
require_relative "graphs"

# Measures the engine.
module Bench
  # What is measured: a graph, how many tasks of it by default, and how. `least` is the smallest number of steps that
  # the graph can have; `seconds` is how long it lasts by default, where that can be chosen.
  #
  # @example
  #   Workload.find("fan").template(steps: 502).steps
  Workload = Struct.new(:name, :measured, :graph, :tasks, :steps, :least, :seconds, :summary,
                        keyword_init: true) do
    # @return [String] its line in the help
    def to_s
      format("%-12<name>s %6<tasks>d x %-6<steps>d %<summary>s", **to_h.slice(:name, :tasks, :steps, :summary))
    end

    # @param queue [String, nil] of its steps; nil: the default one
    # @return [String] name of the workload's template
    def template_name(queue = nil)
      ["bench", name, queue].compact.join("_")
    end

    # @param steps [Integer]
    # @return [Hash{String => Array<String>}] names of the parents by name of the step
    def parents(steps)
      Graphs.public_send(graph, steps)
    end

    # @param steps [Integer]
    # @param queue [String, nil] of the steps; nil: the default one
    # @return [TaskerCore::TaskTemplate]
    def template(steps, queue: nil)
      handler = measured == :latency ? "Bench::Handlers::Timed" : "Bench::Handlers::Plain"
      TaskerCore::TemplateDSL.template(template_name(queue), source: "bin/bench", queue: queue) do |dsl|
        parents(steps).each { |name, parents| dsl.step(name, handler: handler, depends_on: parents) }
      end
    end
  end

  # The workloads there are.
  Workload::ALL = [
    { name: "independent", measured: :drain, graph: :independent, tasks: 10_000, steps: 1, least: 1,
      summary: "steps without edges" },
    { name: "linear", measured: :drain, graph: :line, tasks: 1_000, steps: 10, least: 1,
      summary: "one step after the other" },
    { name: "diamond", measured: :drain, graph: :fan, tasks: 2_500, steps: 4, least: 3,
      summary: "1 step, then 2, then 1" },
    { name: "fan", measured: :drain, graph: :fan, tasks: 20, steps: 502, least: 3,
      summary: "1 step, then 500, then 1" },
    { name: "layered", measured: :drain, graph: :layered, tasks: 20, steps: 1_000, least: 1,
      summary: "a random graph in layers, 1 to 3 parents a step" },
    { name: "map", measured: :map, graph: :mapped, tasks: 1, steps: 100_002, least: 3,
      summary: "a map step over a list, its items, and a step that reads them" },
    { name: "latency", measured: :latency, graph: :line, tasks: 200, steps: 10, least: 2,
      summary: "one line at a time on an idle engine" },
    { name: "create", measured: :create, graph: :line, tasks: 10_000, steps: 10, least: 1,
      summary: "tasks are made, none is executed" },
    { name: "idle", measured: :idle, graph: :line, tasks: 0, steps: 1, least: 1,
      seconds: 30, summary: "workers that have nothing to do" },
    { name: "soak", measured: :soak, graph: :line, tasks: 1_000, steps: 10, least: 1,
      seconds: 10, summary: "so many tasks at once, over and over, deleted soon" },
    { name: "size", measured: :size, graph: :woven, tasks: 1, steps: 60_000, least: 10,
      summary: "the same steps in tasks of 100, 1,000, 10,000 and so many" },
    { name: "flat", measured: :flat, graph: :line, tasks: 5_000, steps: 10, least: 1,
      seconds: 120, summary: "the same rounds in empty and in full tables, and beside an old transaction" }
  ].map { |values| Workload.new(**values).freeze }.freeze

  # @return [Array<String>] names of all workloads
  def Workload.names
    Workload::ALL.map(&:name)
  end

  # @return [Array<Workload>] those that take seconds by default rather than minutes
  def Workload.quick
    Workload::ALL.reject { |workload| workload.measured == :flat }
  end

  # @param name [String]
  # @return [Workload, nil]
  # @example
  #   Workload.find("linear").tasks # => 1000
  def Workload.find(name)
    Workload::ALL.find { |workload| workload.name == name }
  end
end
