# frozen_string_literal: true

# Runs the engine under faults, and checks what it did.
module Chaos
  # Tasks that are undone when they fail, and those that undo them. What undoes a step has the step's name with {PREFIX}
  # here.
  module Undo
    # The template.
    TEMPLATE = "undoable"
    # That of the tasks that undo its tasks.
    UNDOING = "undoable (compensation)"
    PREFIX = "undo "
    # Handler of what undoes.
    HANDLER = "Chaos::UndoHandler"
    # Names of the parents by name of the step, parents first.
    GRAPH = { "paid" => [], "noted" => ["paid"], "packed" => ["noted"], "frail" => ["packed"] }.freeze
    # Steps that say how they are undone.
    STEPS = %w[paid packed].freeze
    # Waits until all are undone, and is executed for nothing.
    ALL_UNDONE = "#{PREFIX}all undone".freeze
    # What undoes them, in reverse order.
    UNDOING_GRAPH = { "undo packed" => [], "undo paid" => ["undo packed"],
                      ALL_UNDONE => ["undo packed", "undo paid"] }.freeze
    # States in which there is something to undo.
    DONE = %w[complete resolved_manually].freeze
  end
end
