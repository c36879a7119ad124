# frozen_string_literal: true

# Runs the engine under faults, and checks what it did.
module Chaos
  # Tasks that may not use up as much as they would.
  module Budget
    # What tasks of a template may use up.
    ALL = { "budgeted" => { attempts: 7 }, "thrifty" => { cost: 1.0 } }.freeze
    # To what an operator raises that: so that all of their steps can be executed, and some of the others.
    RAISED = { "budgeted" => { attempts: 20 }, "thrifty" => { cost: 1.3 } }.freeze
    # Names of steps that spend, and what each of them reserves and spends, in millionths.
    SPENDERS = /\Aspend/
    COST = 300_000
    # Names of the parents by name of the step, parents first.
    GRAPHS = { "budgeted" => { "first" => [], "second" => [], "third" => %w[first second], "fourth" => ["third"],
                               "fifth" => ["third"], "sixth" => %w[fourth fifth] },
               "thrifty" => Array.new(5) { |number| ["spend#{number}", []] }.to_h }.freeze

    module_function

    # @param limits [Hash{Symbol => Numeric}]
    # @return [Hash{Symbol => Integer}] the same as the engine's table has them
    def in_units(limits)
      limits.to_h { |limit, most| [limit, limit == :cost ? (most * 1e6).round : most] }
    end

    # @param step [String] name of the step
    # @return [Float, nil] what it reserves and spends
    # @example
    #   Budget.cost("spend1") # => 0.3
    def cost(step)
      COST / 1e6 if step.match?(SPENDERS)
    end
  end
end
