# frozen_string_literal: true

require_relative "request"

module Chaos
  # All that is known of a task: what the engine has in its tables and what the ledger says. `deadline`: seconds from
  # `requested_at` (of the server's clock); `transitions` are those of the task; `receipt` is nil where the client was
  # not told that the task was made. `parent`: the step that runs it, `children`: the tasks that its steps run;
  # `original`: state by name of the steps of the task that it undoes; `undone_by`: tasks that undo it; `budget`: what
  # it may use up and has; `fork`: of which it is one. All nil or empty where there is none. `retired`: how many steps
  # were added that are no more among its `steps`, because those that added them were executed anew.
  Record = Struct.new(:id, :template, :state, :seed, :requested_at, :deadline, :steps, :transitions, :signals, :receipt,
                      :parent, :children, :original, :undone_by, :budget, :fork, :retired, keyword_init: true) do
    # @return [Array<Request>]
    def requests
      receipt ? receipt.requests : []
    end

    # @param name [String]
    # @return [Record::Step, nil]
    def step(name)
      steps.find { |step| step.name == name }
    end
  end

  # A step of it; transitions in their order. `kept`: its results each time that it was executed anew.
  Record::Step = Struct.new(:id, :name, :state, :attempts, :results, :transitions, :executions, :kept,
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
      crashed? || timed_out? || workflow_failed? || out_of_budget? || overdue?
    end

    # @return [Boolean] whether its attempts together took too long
    def overdue?
      transitions.last&.event == "timed_out"
    end

    # @return [Boolean] whether its last attempt failed because the task did that it ran
    def workflow_failed?
      last = ends.last
      last&.outcome == "permanent" && execution(last.attempt)&.product&.key?("workflow_failed")
    end

    # @return [Boolean] whether its task's budget kept it from being started
    def out_of_budget?
      transitions.last&.event == "budget_exhausted"
    end

    # @return [Record::Transition, nil] that by which an operator gave the results that it has
    def resolution
      transitions.last if transitions.last&.event == "resolved_manually"
    end

    # @return [Array<Record::Transition>] those since an operator had it tried again last, or executed anew
    def since_retry
      again = transitions.rindex { |change| change.event == "retried" || Record::ANEW.include?(change.event) }
      transitions.drop((again || -1) + 1)
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

    # @return [Boolean] whether its last attempt failed because a signal did not come
    def timed_out?
      last = ends.last
      last&.outcome == "permanent" && execution(last.attempt)&.product == { "timed_out" => true }
    end
  end

  # Events by which what a step did counts no more.
  Record::ANEW = %w[rerun reset].freeze

  # A change of the state of a task or step; the higher `id` is the later one. `outcome` of the attempt that it ends,
  # else nil; `error`: class of the exception by which it failed, else nil; `at`: seconds of the server's clock.
  Record::Transition = Struct.new(:id, :from, :to, :event, :attempt, :outcome, :error, :detail, :at,
                                  keyword_init: true) do
    # @return [String, nil] who asked for it
    def actor
      detail && detail["actor"]
    end

    # @return [Boolean] whether that is how the step ended in the task of which its own is a fork
    def copied?
      detail&.key?("copied_from") || false
    end
  end

  # A row of the ledger: times in nanoseconds of the monotonic clock; `finished_ns`, `outcome` and `product`, what the
  # handler made, are nil where the process ended first.
  Record::Execution = Struct.new(:attempt, :pid, :started_ns, :finished_ns, :outcome, :product, keyword_init: true)

  # The step that runs a task: the task it belongs to, its state, and how often an operator had it tried again.
  Record::Parent = Struct.new(:task_id, :state, :retries) do
    # @return [String] who it is for the task that it runs
    def actor
      "task #{task_id}"
    end

    # @return [Boolean] whether its handler is not told how the task ended
    def ended_by_others?
      %w[cancelled skipped resolved_manually].include?(state)
    end
  end

  # A task that a step runs, or ran: name of the step; results of its last steps by name.
  Record::Child = Struct.new(:task_id, :step, :state, :generation, :results, keyword_init: true)

  # What a task may use up and has used up, as its row says; costs in millionths; limits are nil where there is none.
  Record::Budget = Struct.new(:max_attempts, :max_cost, :attempts, :spent, :reserved, :exhausted, keyword_init: true)

  # The task of which one is a fork: names of the steps that are executed, with those below them; who asked, and the
  # request (nil: nobody did); and [state, results] of its steps by name.
  Record::Fork = Struct.new(:task_id, :from, :actor, :request, :steps, keyword_init: true)

  # A signal that the engine has kept.
  Record::Signal = Struct.new(:id, :name, :payload, :key, keyword_init: true)
end
