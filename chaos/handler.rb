# frozen_string_literal: true

require "tasker_core"
require_relative "behaviour"
require_relative "ledger"

module Chaos
  # Does what the step's {Behaviour} says, and records it in the {Ledger}.
  class Handler < TaskerCore::StepHandler::Base
    class << self
      # @return [Ledger] of this process
      attr_accessor :ledger
    end

    # @return [Hash] which attempt this was
    def process(task, _sequence, step)
      behaviour = Behaviour.of(task.context.fetch("seed"), step.name)
      execution = Handler.ledger.begin(task.task_id, step.step_id, step.attempt)
      sleep(task.context.fetch("seconds", behaviour.seconds))
      outcome = behaviour.outcome(step.attempt)
      Handler.ledger.end(execution, outcome)
      finish(outcome, step.attempt)
    end

    private

    def finish(outcome, attempt)
      case outcome
      when "retryable" then raise TaskerCore::RetryableError, "attempt #{attempt} is to fail"
      when "permanent" then raise TaskerCore::PermanentError, "this step is to fail"
      else { "attempt" => attempt }
      end
    end
  end
end
