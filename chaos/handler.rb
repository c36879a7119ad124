# frozen_string_literal: true

require "tasker_core"
require_relative "attachment"
require_relative "effects"
require_relative "graphs"
require_relative "ledger"

module Chaos
  # Does what the step's {Behaviour} says, after its {Wait}, the workflow that it runs or its checkpoints, and records
  # it in the {Ledger}.
  class Handler < TaskerCore::StepHandler::Base
    class << self
      # @return [Ledger] of this process
      attr_accessor :ledger
    end

    # @return [Hash] which attempt this was, and what it was told
    def process(task, _sequence, step)
      seed = task.context.fetch("seed")
      behaviour = Behaviour.of(seed, name_of(step))
      execution = Handler.ledger.begin(task.task_id, step.step_id, step.attempt)
      attach(seed, step)
      take_time(task, behaviour)
      product = { "attempt" => step.attempt, **worked(execution, seed, step) }
      use(seed, step)
      outcome = ended(behaviour.outcome(step.attempt), step)
      Handler.ledger.end(execution, outcome, product)
      finish(outcome, step, Branches.taken(seed, step.name)) || product
    end

    private

    def take_time(task, behaviour)
      sleep(task.context.fetch("seconds", behaviour.seconds))
    end

    # The name by which what it does is known.
    def name_of(step)
      step.name
    end

    # In each attempt, also in one that waits afterwards.
    def attach(seed, step)
      Attachment.attach(step, Attachment.of(seed, name_of(step), step.attempt))
    end

    def worked(execution, seed, step)
      wait = [Wait, Nested, Poll, Approval].filter_map { |kind| kind.of(seed, step.name) }.first
      return waited(execution, wait, step) if wait

      batch = Batch.of(step.name) or return {}
      batch.perform(step) { |product| Handler.ledger.note(execution, product) }
    end

    # A handler that waits does not come back from here.
    def waited(execution, wait, step)
      over = false
      told = told(execution, wait, step)
      over = true
      told
    rescue TaskerCore::PermanentError
      over = true
      raise
    ensure
      Handler.ledger.end(execution, "waiting") unless over
    end

    def told(execution, wait, step)
      wait.perform(step) { Handler.ledger.executions(step.step_id) }
    rescue TaskerCore::SignalTimeout, TaskerCore::PollTimeout
      return { "timed_out" => true } unless wait.strict

      fail_for_good(execution, { "timed_out" => true })
    rescue TaskerCore::WorkflowFailed => e
      fail_for_good(execution, { "workflow_failed" => e.context.fetch("task_id") })
    rescue TaskerCore::PermanentError => e
      fail_for_good(execution, { "decision" => e.context.slice(*Approval::TOLD) })
    end

    # With the exception that is being handled.
    def fail_for_good(execution, product)
      Handler.ledger.end(execution, "permanent", product)
      raise
    end

    # One that hangs returns in the end. Where nobody could notice in time, that counts as a success.
    def ended(outcome, step)
      return outcome unless outcome == "retryable" && step.name == Hung::HANGS

      Hung.hang ? "late" : "succeeded"
    end

    # An attempt that fails adds nothing, whatever it asked for.
    def use(seed, step)
      cost = Budget.cost(step.name)
      step.spend(cost) if cost
      Growth.added(seed, step.name).each do |name|
        step.add(name, like: Growth::PROTOTYPE, before: Growth::GATHERS)
      end
    end

    def finish(outcome, step, taken)
      case outcome
      when "retryable" then raise TaskerCore::RetryableError.new("attempt #{step.attempt} is to fail", **delay(step))
      when "permanent" then raise TaskerCore::PermanentError, "this step is to fail"
      else taken && step.take(*taken)
      end
      nil
    end

    def delay(step)
      step.name == Hung::ASKS ? { retry_after: Hung::RETRY_AFTER } : {}
    end
  end

  # Has an effect in the transaction that records the end of the attempt.
  class EffectiveHandler < Handler
    self.transactional = true

    class << self
      # @return [Effects] of this process
      attr_accessor :effects
    end

    private

    def worked(_execution, _seed, step)
      EffectiveHandler.effects.have(step)
      {}
    end
  end

  # Waits for a person's decision, and is known to.
  class Decided < TaskerCore::StepHandler::Approval
    # @return [Hash] as {Handler#process}
    def process(task, sequence, step)
      Handler.new.process(task, sequence, step)
    end
  end

  # Undoes what a step did.
  class UndoHandler < Handler
    private

    def name_of(step)
      "#{Undo::PREFIX}#{step.name}"
    end

    def worked(*)
      {}
    end

    def use(*)
      nil
    end
  end
end
