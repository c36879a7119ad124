# frozen_string_literal: true

require_relative "clock"

# Runs the engine under faults, and checks what it did.
module Chaos
  # Steps whose attempts fail in a way that says when the next one may begin: of one whose handler does not come back in
  # time, and of one that asks for a delay.
  module Hung
    # The template.
    TEMPLATE = "hung"
    HANGS = "hangs"
    ASKS = "asks"
    # Seconds that an attempt of {HANGS} may take, and for which one lasts that hangs.
    TIMEOUT = 0.6
    SECONDS = 1.8
    # How it is tried again.
    RETRY = { backoff: "exponential", base_seconds: 0.8, max_seconds: 1.6, jitter: 0.5 }.freeze
    # Seconds that {ASKS} asks for.
    RETRY_AFTER = 1.2
    # Seconds of one slice of the time in which a handler hangs, and by which one that is longer says that the process,
    # or the machine, stood still.
    SLICE = 0.1
    STOOD_STILL = 0.3
    # Names of the parents by name of the step, parents first.
    GRAPH = { "begin" => [], HANGS => ["begin"], ASKS => ["begin"], "settled" => [HANGS, ASKS] }.freeze

    module_function

    # @param step [String] name of the step
    # @return [Hash] what its template says of the time of an attempt and of the next one
    def options(step)
      step == HANGS ? { timeout: TIMEOUT, retry: RETRY } : {}
    end

    # Does not come back in time.
    #
    # @return [Boolean] whether the engine had its chance to notice: not where everything stood still
    def hang
      last = Clock.now
      till = last + SECONDS
      longest = 0
      while last < till
        sleep(SLICE)
        longest = [longest, Clock.now - last].max
        last = Clock.now
      end
      longest < SLICE + STOOD_STILL
    end

    # @param step [String] name of the step
    # @param failures [Integer] how often it has failed
    # @return [Float, nil] seconds until the next attempt, at least; nil where nothing is known of that
    # @example
    #   Hung.delay("asks", 1) # => 1.2
    def delay(step, failures)
      case step
      when ASKS then RETRY_AFTER
      when HANGS
        base, most, jitter = RETRY.values_at(:base_seconds, :max_seconds, :jitter)
        [base * (2**(failures - 1)), most].min * (1 - jitter)
      end
    end
  end
end
