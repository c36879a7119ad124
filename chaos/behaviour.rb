# frozen_string_literal: true

require "zlib"
require_relative "effects"
require_relative "growth"
require_relative "hung"
require_relative "timed"

# Runs the engine under faults, and checks what it did.
module Chaos
  # What the handler of a step does. It follows from the task's seed and the step's name alone, so that the check knows
  # how each step has to end, however often it was executed.
  #
  # @example
  #   Behaviour.of(7, "s3").outcome(1) # => "succeeded"
  Behaviour = Struct.new(:kind, :failures, :seconds) do
    # @param attempt [Integer]
    # @return [String] how this attempt ends, as the history names it: "succeeded", "retryable" or "permanent". One that
    #   is to hang counts as one that fails.
    def outcome(attempt)
      case kind
      when :succeeds then attempt > failures ? "succeeded" : "retryable"
      when :recovers then attempt > 1 ? "succeeded" : "permanent"
      when :exhausts then "retryable"
      when :fails then "permanent"
      end
    end

    # @param attempts [Integer] that the step had; they matter only where an operator's retry or the end of a worker
    #   makes a second one of it. Default: 1.
    # @return [String] state of the step in the end, unless it is cancelled or steered, is not reached, or killed its
    #   workers
    def state(attempts = 1)
      return outcome(attempts) == "succeeded" ? "complete" : "error" if kind == :recovers

      kind == :succeeds ? "complete" : "error"
    end
  end

  # Attempts that may fail; one that succeeds fails fewer times before.
  Behaviour::RETRY_LIMIT = 4
  # Shares of a thousand steps: those that fail for good, that fail until their attempts are used up, and that fail once
  # or twice before they succeed.
  Behaviour::SHARES = { fails: 3, exhausts: 3, retried: 60 }.freeze
  # Names of steps of which each second one fails for good when it is executed first, and would succeed then.
  Behaviour::FRAIL = Regexp.union(/\Afrail/, Growth::FAILING)
  # Share of a thousand steps that take long, and their seconds: so long that the next attempt runs when a worker that
  # stood still goes on with the last one. The others take a few milliseconds.
  Behaviour::SLOW = { share: 30, seconds: 0.2..5.0 }.freeze
  # Seconds of a step that is not slow.
  Behaviour::QUICK = (0.0..0.02).freeze

  class << Behaviour
    # @param seed [Integer] of the task
    # @param step [String] name of the step
    # @return [Behaviour] frozen
    def of(seed, step)
      random = Random.new(Zlib.crc32("#{seed}/#{step}"))
      kind, failures = kind(random)
      kind = suited(kind, step, random)
      failures = random.rand(2) if Timed::TOTALS.key?(step) && kind == :succeeds
      if [Hung::HANGS, Hung::ASKS].include?(step)
        kind = :succeeds
        failures = random.rand(3)
      end
      new(kind, failures, seconds_of(step, random)).freeze
    end

    # @param step [String] its name
    # @return [Integer] how often it is tried
    # @example
    #   Behaviour.retry_limit("s0") # => 4
    def retry_limit(step)
      Effects.of?(step) ? Effects::RETRY_LIMIT : Behaviour::RETRY_LIMIT
    end

    private

    def kind(random)
      shares = Behaviour::SHARES
      number = random.rand(1_000)
      return [:fails, 0] if number < shares[:fails]
      return [:exhausts, 0] if (number -= shares[:fails]) < shares[:exhausts]

      [:succeeds, number - shares[:exhausts] < shares[:retried] ? random.rand(1..2) : 0]
    end

    def suited(kind, step, random)
      return :succeeds if kind == :exhausts && Effects.of?(step)

      step.match?(Behaviour::FRAIL) && random.rand(2).zero? ? :recovers : kind
    end

    def seconds_of(step, random)
      case step
      when Timed::BUSY then random.rand(Timed::SECONDS)
      when Hung::HANGS then random.rand(Behaviour::QUICK)
      else seconds(random)
      end
    end

    def seconds(random)
      slow = Behaviour::SLOW
      random.rand(random.rand(1_000) < slow[:share] ? slow[:seconds] : Behaviour::QUICK)
    end
  end
end
