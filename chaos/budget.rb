# frozen_string_literal: true

# Runs the engine under faults, and checks what it did.
module Chaos
  # Tasks that may not use up as much as they would.
  module Budget
    # What tasks of a template may use up.
    ALL = { "budgeted" => { attempts: 7 }, "thrifty" => { cost: 1.0 } }.freeze
    # Names of steps that spend, and what each of them reserves and spends, in millionths.
    SPENDERS = /\Aspend/
    COST = 300_000
    # Names of the parents by name of the step, parents first.
    GRAPHS = { "budgeted" => { "first" => [], "second" => [], "third" => %w[first second], "fourth" => ["third"],
                               "fifth" => ["third"], "sixth" => %w[fourth fifth] },
               "thrifty" => Array.new(5) { |number| ["spend#{number}", []] }.to_h }.freeze

    module_function

    # @param step [String] name of the step
    # @return [Float, nil] what it reserves and spends
    # @example
    #   Budget.cost("spend1") # => 0.3
    def cost(step)
      COST / 1e6 if step.match?(SPENDERS)
    end
  end
end
