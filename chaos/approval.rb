# frozen_string_literal: true

require "tasker_core"

# Runs the engine under faults, and checks what it did.
module Chaos
  # Steps that a person approves or rejects.
  module Approval
    # The template.
    TEMPLATE = "approved"
    # The step that waits for the decision.
    STEP = "decision"
    # Its handler.
    HANDLER = "Chaos::Decided"
    # Kinds of requests that decide.
    KINDS = %i[approve reject].freeze
    # What handlers are told of a decision.
    TOLD = %w[approved by comment].freeze
    # Names of the parents by name of the step, parents first.
    GRAPH = { "begin" => [], STEP => ["begin"], "granted" => [STEP], "settled" => [STEP] }.freeze

    module_function

    # @param _seed [Integer] of the task
    # @param step [String] name of the step
    # @return [Approval, nil] nil: nobody decides it
    # @example
    #   Approval.of(7, "begin") # => nil
    def of(_seed, step)
      self if step == STEP
    end

    # Called anew in each attempt.
    #
    # @param step [TaskerCore::Step]
    # @return [Hash{String => Object}] who approved
    # @raise [TaskerCore::PermanentError] it was rejected
    def perform(step)
      { "decision" => TaskerCore::StepHandler::Approval.new.process(nil, nil, step).slice(*TOLD) }
    end
  end
end
