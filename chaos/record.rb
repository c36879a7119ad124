# frozen_string_literal: true

module Chaos
  # All that is known of a task: what the engine has in its tables and what the ledger says. `deadline`: whether it was
  # made with one; `receipt` is nil where the client was not told that the task was made.
  Record = Struct.new(:id, :template, :state, :seed, :deadline, :steps, :receipt, keyword_init: true)

  # A step of it; transitions in their order.
  Record::Step = Struct.new(:id, :name, :state, :attempts, :results, :transitions, :executions, keyword_init: true) do
    # @return [Array<Record::Transition>] those that end an attempt
    def ends
      transitions.select(&:outcome)
    end

    # @return [Record::Execution, nil] that of the attempt that completed it
    def completion
      completed = transitions.find { |transition| transition.to == "complete" }
      completed && executions.find { |execution| execution.attempt == completed.attempt }
    end

    # @return [Boolean] whether it was given up because its workers died
    def crashed?
      transitions.any? { |transition| transition.event == "crashes_exhausted" }
    end
  end

  # A change of a step's state; `outcome` of the attempt that it ends, else nil.
  Record::Transition = Struct.new(:from, :to, :event, :attempt, :outcome, keyword_init: true)

  # A row of the ledger: times in nanoseconds of the monotonic clock; `finished_ns` and `outcome` are nil where the
  # process ended first.
  Record::Execution = Struct.new(:attempt, :pid, :started_ns, :finished_ns, :outcome, keyword_init: true)
end
