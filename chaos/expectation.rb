# frozen_string_literal: true

require_relative "graphs"
require_relative "record"

module Chaos
  # How a task has to end that nobody cancels. That follows from what its handlers do, what operators did to its steps,
  # which of them killed their workers, and which signals did not come in time.
  class Expectation
    # How a parent in this state counts; one that is not named is open.
    SEEN = { "complete" => :complete, "resolved_manually" => :complete, "skipped" => :skipped,
             "error" => :failed }.freeze

    # @param record [Record]
    def initialize(record)
      @record = record
      @seed = record.seed
      @graph = Graphs.of(record)
      @steps = record.steps.to_h { |step| [step.name, step] }
    end

    # States in which the steps have to end: those whose join policy is not satisfied stay pending.
    #
    # @return [Hash{String => String}] state by name of the step
    # @example
    #   Expectation.new(record).states["s0"] # => "complete"
    def states
      @states ||= @graph.each_with_object({}) do |(name, parents), states|
        states[name] = @steps[name]&.steered || unsteered(name, parents, states)
      end
    end

    # @return [String] state in which the task has to end: in error where a failure holds a step up, or a last step
    #   failed; items of a list may
    def task_state
      parents = @graph.values.flatten
      failed = states.any? do |step, state|
        state == "pending" || (state == "error" && !parents.include?(step) && !Growth.item?(step))
      end
      failed ? "error" : "complete"
    end

    # How a step sees that its parent is in a state.
    #
    # @param parent [String] name
    # @param child [String] name
    # @param state [String] of the parent
    # @return [Symbol] :complete, :skipped, :failed or :open
    def seen(parent, child, state)
      seen = SEEN.fetch(state, :open)
      return :skipped if seen == :complete && !Branches.taken_by?(@seed, parent, child)
      return seen unless seen == :complete && Branches::DECISIONS.key?(parent)

      taken(parent, state).include?(child) ? :complete : :skipped
    end

    # @param name [String] of a step whose parents have ended
    # @return [Boolean, nil] whether its condition is met; nil: it cannot be told
    def met?(name)
      if @record.template == Undo::UNDOING && name != Undo::ALL_UNDONE
        return Undo::DONE.include?(@record.original[name.delete_prefix(Undo::PREFIX)])
      end

      results = @steps.values_at(*@graph.fetch(name)).compact.to_h { |step| [step.name, step.results || {}] }
      Branches.met?(@seed, name, results)
    end

    private

    # An operator who gives results of a decision step decides himself.
    def taken(name, state)
      by_hand = state == "resolved_manually" && @steps[name]&.resolution
      by_hand ? by_hand.detail.fetch("took") : Branches.taken(@seed, name)
    end

    def unsteered(name, parents, states)
      case Join.of(name).verdict(parents.map { |parent| seen(parent, name, states.fetch(parent)) })
      when :ready then begun(name, states)
      when :skip then "skipped"
      when :wait then "pending"
      end
    end

    def begun(name, states)
      met = met?(name)
      return "error" if met.nil?

      met ? own(name, states) : "skipped"
    end

    def own(name, states)
      step = @steps[name]
      return "error" if step && (step.given_up? || Growth.refused?(@record, step))

      map = Growth.map(name)
      return list(map, states) if map

      Behaviour.of(@seed, name).state(step ? step.attempts : 1)
    end

    # With too many items in error it is so itself.
    def list(map, states)
      failed = states.count { |step, state| state == "error" && Growth.item?(step) }
      map.tolerate && failed > map.tolerate ? "error" : "complete"
    end
  end
end
