# frozen_string_literal: true

# Runs the engine under faults, and checks what it did.
module Chaos
  # Steps whose handlers run another workflow and go on with its results.
  Nested = Struct.new(:workflow, :seed) do
    # Called anew in each attempt, as a handler would.
    #
    # @param step [TaskerCore::Step]
    # @return [Hash{String => Object}] what the other workflow returned
    # @raise [TaskerCore::WorkflowFailed]
    def perform(step)
      { "ran" => step.run_workflow(workflow, namespace: Graphs::NAMESPACE, context: { "seed" => seed }) }
    end
  end

  # The template whose steps run others.
  Nested::TEMPLATE = "nested"
  # The other workflow by name of the step.
  Nested::ALL = { "inner0" => "frail", "inner1" => "diamond" }.freeze
  # Names of the parents by name of the step, parents first.
  Nested::GRAPH = { "begin" => [], "inner0" => ["begin"], "inner1" => ["inner0"], "end" => ["inner1"] }.freeze

  # @param seed [Integer] of the task
  # @param step [String] name of the step
  # @return [Nested, nil] frozen; nil: it runs none
  # @example
  #   Nested.of(7, "inner0").workflow # => "frail"
  def Nested.of(seed, step)
    workflow = self::ALL[step]
    workflow && new(workflow, (seed + 1) % (2**31)).freeze
  end
end
