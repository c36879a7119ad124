# frozen_string_literal: true

# Runs the engine under faults, and checks what it did.
module Chaos
  # A step of it; transitions in their order. `kept`: its results each time that it was executed anew; `artifacts`: what
  # handlers attached, by attempt and name; `effects`: attempts that had one.
  Record::Step = Struct.new(:id, :name, :state, :attempts, :results, :transitions, :executions, :kept, :artifacts,
                            :effects,
                            keyword_init: true) do
    # @return [Array<Record::Transition>] those that end an attempt
    def ends
      transitions.select(&:outcome)
    end

    # @return [Record::Execution, nil] that of the attempt that completed it first
    def completion
      completed = transitions.find { |transition| transition.to == "complete" }
      completed && execution(completed.attempt)
    end

    # @param change [Record::Transition] of any step of the task
    # @return [String] its state right before that
    def state_before(change)
      before = transitions.reverse_each.find { |one| one.id < change.id }
      before ? before.to : transitions.first&.from || state
    end

    # @param time_ns [Integer]
    # @return [Boolean] whether it was completed, and by the ledger not before that
    def completed_after?(time_ns)
      completed = transitions.find { |transition| transition.to == "complete" }
      # What the engine completes, no handler executed.
      return false if completed.nil? || completed.copied? || Growth.map(name)

      ended = completion&.finished_ns
      ended.nil? || ended > time_ns
    end

    # @param time_ns [Integer]
    # @return [Boolean] whether it was in error by then, as far as the ledger knows
    def failed_before?(time_ns)
      transitions.any? do |transition|
        transition.to == "error" && (execution(transition.attempt)&.finished_ns || time_ns) <= time_ns
      end
    end

    # @param attempt [Integer]
    # @return [Record::Execution, nil] the first of this attempt
    def execution(attempt)
      executions.find { |execution| execution.attempt == attempt }
    end

    # @return [String, nil] the state that an operator gave it, and in which it has ended; also where that was copied
    def steered
      last = transitions.last
      last.to if last&.actor && %w[skipped resolved_manually complete].include?(last.to)
    end

    # @return [Boolean] whether it ended in error otherwise than its {Behaviour} says
    def given_up?
      crashed? || timed_out? || rejected? || workflow_failed? || overdue? || hung? || kept_back?
    end

    # @return [Boolean] whether it was not to begin any more
    def kept_back?
      out_of_budget? || unbegun?
    end

    # @return [Boolean] whether it is an item that had not begun when too many others had failed
    def unbegun?
      transitions.last&.event == "item_given_up"
    end

    # @return [Boolean] whether its last attempt was ended for its time, and was one too many
    def hung?
      transitions.last&.event == "retries_exhausted" && transitions.last.outcome == "timeout"
    end

    # @return [Boolean] whether its attempts together took too long
    def overdue?
      transitions.last&.event == "timed_out"
    end

    # @return [Boolean] whether its last attempt failed because the task did that it ran
    def workflow_failed?
      failed_with.key?("workflow_failed")
    end

    # @return [Boolean] whether its task's budget kept it from being started
    def out_of_budget?
      transitions.last&.event == "budget_exhausted"
    end

    # @return [Record::Transition, nil] that by which an operator gave the results that it has
    def resolution
      transitions.last if transitions.last&.event == "resolved_manually"
    end

    # @return [Array<Array<Record::Transition>>] what came before an operator had it tried again, or executed anew, and
    #   for each such time, that and what came of it
    def tries
      transitions.slice_before { |change| Record::AGAIN.include?(change.event) }.to_a
    end

    # @return [Array<Record::Transition>] those since an operator had it tried again last, or executed anew
    def since_retry
      tries.last || []
    end

    # @return [Array<Record::Transition>] those by which an operator had it executed anew
    def redone
      transitions.select { |change| Record::ANEW.include?(change.event) }
    end

    # @return [Boolean] whether its condition was not met
    def left_out?
      transitions.any? { |transition| transition.event == "condition_unmet" }
    end

    # @return [Boolean] whether it was given up because its workers died
    def crashed?
      since_retry.any? { |transition| transition.event == "crashes_exhausted" }
    end

    # @return [Boolean] whether its last attempt failed because a signal, or what it polls for, did not come in time
    def timed_out?
      failed_with == { "timed_out" => true }
    end

    # @return [Boolean] whether its last attempt failed because somebody had rejected it
    def rejected?
      failed_with.dig("decision", "approved") == false
    end

    private

    # What the handler made in its last attempt, where that failed for good.
    def failed_with
      last = ends.last
      (execution(last.attempt)&.product if last&.outcome == "permanent") || {}
    end
  end
end
