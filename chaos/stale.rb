# frozen_string_literal: true

# Runs the engine under faults, and checks what it did.
module Chaos
  # Tasks that wait for what never comes, until an operator has those expire that are old.
  module Stale
    # The template.
    TEMPLATE = "stale"
    # The step that waits, and the signal that nobody sends.
    STEP = "idle"
    SIGNAL = "never"
    # Names of the parents by name of the step, parents first.
    GRAPH = { STEP => [], "after" => [STEP] }.freeze
  end
end
