# frozen_string_literal: true

require "tasker_core"
require_relative "behaviour"
require_relative "branches"
require_relative "ledger"
require_relative "wait"

module Chaos
  # Does what the step's {Behaviour} says, after its {Wait}, and records it in the {Ledger}.
  class Handler < TaskerCore::StepHandler::Base
    # Seconds between two questions to a database that is away.
    PAUSE = 0.1

    class << self
      # @return [Ledger] of this process
      attr_accessor :ledger
    end

    # @return [Hash] which attempt this was, and what it was told
    def process(task, _sequence, step)
      seed = task.context.fetch("seed")
      behaviour = Behaviour.of(seed, step.name)
      execution = Handler.ledger.begin(task.task_id, step.step_id, step.attempt)
      sleep(task.context.fetch("seconds", behaviour.seconds))
      product = { "attempt" => step.attempt, **waited(execution, Wait.of(seed, step.name), step) }
      outcome = behaviour.outcome(step.attempt)
      Handler.ledger.end(execution, outcome, product)
      finish(outcome, step, Branches.taken(seed, step.name)) || product
    end

    private

    # A handler that waits does not come back from here.
    def waited(execution, wait, step)
      return {} unless wait

      over = false
      told = told(execution, wait, step)
      over = true
      told
    rescue TaskerCore::SignalTimeout
      over = true
      raise
    ensure
      Handler.ledger.end(execution, "waiting") if wait && !over
    end

    # The database may be away when it is asked what was waited for.
    def told(execution, wait, step)
      wait.perform(step)
    rescue TaskerCore::DatabaseUnavailable, TaskerCore::DatabaseError
      sleep(PAUSE)
      retry
    rescue TaskerCore::SignalTimeout
      return { "timed_out" => true } unless wait.strict

      Handler.ledger.end(execution, "permanent", { "timed_out" => true })
      raise
    end

    def finish(outcome, step, taken)
      case outcome
      when "retryable" then raise TaskerCore::RetryableError, "attempt #{step.attempt} is to fail"
      when "permanent" then raise TaskerCore::PermanentError, "this step is to fail"
      else taken && step.take(*taken)
      end
      nil
    end
  end
end
