# frozen_string_literal: true

require_relative "../../chaos/expectation"

# Runs the engine under faults, and checks what it did.
module Chaos
  # What is known of a task that nothing befell: each step is executed in its turn, as its handler decides.
  class Play
    # Nanoseconds that each execution takes, and that lie between two.
    STEP_NS = 10_000_000

    # The first seed whose record is as the block wants it.
    #
    # @param template [String] its name
    # @yieldparam record [Record]
    # @return [Record]
    def self.of(template)
      (0..).each do |seed|
        record = new(template, seed).record
        return record if yield record
      end
    end

    # @param template [String] its name
    # @param seed [Integer]
    def initialize(template, seed)
      @template = template
      @seed = seed
      @id = 0
      @now_ns = 0
      @states = {}
      @results = {}
    end

    # @return [Record]
    def record
      receipt = Receipt.new(7, @template, @seed, [])
      steps = Graphs::ALL.fetch(@template).each_with_index.map { |(name, parents), index| step(name, parents, index) }
      record = Record.new(id: 7, template: @template, seed: @seed, requested_at: 0.0, steps: steps, receipt: receipt,
                          signals: @signals || [])
      record.state = Expectation.new(record).task_state
      record.transitions = [change("pending", "in_progress", "started"),
                            change("in_progress", record.state, record.state == "complete" ? "completed" : "failed")]
      record
    end

    private

    def step(name, parents, index)
      step = Record::Step.new(id: (7 << 20) + index, name: name, attempts: 0, transitions: [], executions: [],
                              state: parents.empty? ? "enqueued" : "pending")
      case Join.of(name).verdict(parents.map { |parent| seen(parent, name) })
      when :skip then move(step, "skipped", "skipped")
      when :ready then start(step, parents)
      end
      @states[name] = step.state
      step
    end

    def seen(parent, child)
      seen = Expectation::SEEN.fetch(@states.fetch(parent), :open)
      taken = Branches.taken(@seed, parent)
      seen == :complete && taken && !taken.include?(child) ? :skipped : seen
    end

    def start(step, parents)
      @now_ns += (Wait::DELAYS.fetch(step.name, 0) * 1_000_000_000).round
      results = @results.slice(*parents)
      unless Branches.met?(@seed, step.name, parents.to_h { |parent| [parent, results.fetch(parent, {})] })
        move(step, "in_progress", "claimed")
        return move(step, "skipped", "condition_unmet")
      end

      told = wait(step, Wait.of(@seed, step.name))
      attempt(step, told) until %w[complete error].include?(step.state)
    end

    def wait(step, wait)
      return {} unless wait

      execution = claim(step)
      execution.outcome = "waiting"
      @now_ns += (wait.seconds * 1_000_000_000).round if wait.seconds
      move(step, "waiting", "went_waiting", "waiting")
      return { "slept" => wait.seconds } unless wait.signal

      move(step, "enqueued", "signalled")
      { "signal" => signal(wait.signal) }
    end

    def signal(name)
      @signals ||= []
      unless @signals.any? { |signal| signal.name == name }
        @signals << Record::Signal.new(id: @signals.size + 1, name: name, payload: { "number" => @signals.size + 1 })
      end
      @signals.find { |signal| signal.name == name }.payload
    end

    def attempt(step, told)
      behaviour = Behaviour.of(@seed, step.name)
      execution = claim(step)
      execution.outcome = behaviour.outcome(step.attempts)
      execution.product = { "attempt" => step.attempts, **told }
      failed = step.ends.count { |ended| ended.outcome == "retryable" } + 1
      case execution.outcome
      when "succeeded" then complete(step, execution)
      when "permanent" then move(step, "error", "failed_permanently", "permanent")
      when "retryable"
        limit = failed == Behaviour::RETRY_LIMIT
        move(step, *(limit ? %w[error retries_exhausted] : %w[waiting_for_retry retry_scheduled]), "retryable")
      end
    end

    def complete(step, execution)
      taken = Branches.taken(@seed, step.name)
      move(step, "complete", "succeeded", "succeeded", taken && { "took" => taken })
      step.results = execution.product
      @results[step.name] = step.results
    end

    def claim(step)
      step.attempts += 1
      move(step, "in_progress", "claimed")
      execution = Record::Execution.new(attempt: step.attempts, pid: 1, started_ns: @now_ns += STEP_NS,
                                        finished_ns: @now_ns += STEP_NS)
      step.executions << execution
      execution
    end

    def move(step, state, event, outcome = nil, detail = nil)
      step.transitions << change(step.state, state, event, attempt: step.attempts, outcome: outcome,
                                                           detail: detail)
      step.state = state
    end

    def change(from, to, event, **rest)
      Record::Transition.new(id: @id += 1, from: from, to: to, event: event, at: @now_ns / 1e9, **rest)
    end
  end
end
