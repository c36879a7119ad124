# frozen_string_literal: true

require_relative "request"

module Chaos
  # All that is known of a task: what the engine has in its tables and what the ledger says. `deadline`: seconds from
  # `requested_at` (of the server's clock); `transitions` are those of the task; `receipt` is nil where the client was
  # not told that the task was made. `parent`: the step that runs it, `children`: the tasks that its steps run;
  # `original`: state by name of the steps of the task that it undoes; `undone_by`: tasks that undo it; `budget`: what
  # it may use up and has; `fork`: of which it is one. All nil or empty where there is none. `retired`: how many steps
  # were added that are no more among its `steps`, because those that added them were executed anew; `bulk`: requests
  # about many tasks that mean it; `wanted_priority`: that with which it was submitted, or of the task that it was made
  # for.
  Record = Struct.new(:id, :template, :state, :seed, :requested_at, :deadline, :steps, :transitions, :signals, :receipt,
                      :parent, :children, :original, :undone_by, :budget, :fork, :retired, :bulk, :priority,
                      :wanted_priority, keyword_init: true) do
    # @return [Array<Request>]
    def requests
      [*receipt&.requests, *bulk]
    end

    # @param request [Request]
    # @return [Boolean] whether it was acknowledged before that was sent
    def made_before?(request)
      receipt&.made_ns.to_i.between?(1, request.sent_ns)
    end

    # @param name [String]
    # @return [Record::Step, nil]
    def step(name)
      steps.find { |step| step.name == name }
    end
  end

  # Events by which what a step did counts no more.
  Record::ANEW = %w[rerun reset].freeze
  # Events by which an operator has a step begin anew, or tried again.
  Record::AGAIN = ["retried", *Record::ANEW].freeze

  # A change of the state of a task or step; the higher `id` is the later one. `outcome` of the attempt that it ends,
  # else nil; `error`: class of the exception by which it failed, else nil; `at`: seconds of the server's clock.
  Record::Transition = Struct.new(:id, :from, :to, :event, :attempt, :outcome, :error, :detail, :at,
                                  keyword_init: true) do
    # @return [String, nil] who asked for it
    def actor
      detail && detail["actor"]
    end

    # @return [String, nil] why
    def reason
      detail && detail["reason"]
    end

    # @return [Boolean] whether it ended an attempt, or an operator had the step tried again
    def tries?
      !outcome.nil? || event == "retried"
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
  Record::Signal = Struct.new(:id, :name, :payload, :key, keyword_init: true) do
    # @return [String] by which it is known, as {Request#mark}
    def mark
      payload.key?("number") ? "signal #{payload["number"]}" : "decision by #{payload["by"]}"
    end
  end
end

require_relative "record/step"
