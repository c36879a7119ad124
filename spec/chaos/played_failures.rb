# frozen_string_literal: true

require_relative "../../chaos/expectation"

module Chaos
  # How attempts of a {Play} fail that are tried again, and when the next one begins.
  module PlayedFailures
    private

    def retry_later(step, execution)
      outcome = step.name == Hung::HANGS ? hang(step, execution) : "retryable"
      failed = step.ends.count { |ended| ended.outcome == outcome } + 1
      limit = failed == Behaviour.retry_limit(step.name)
      move(step, *(limit ? %w[error retries_exhausted] : %w[waiting_for_retry retry_scheduled]), outcome)
      pause(Hung.delay(step.name, failed) || 0)
    end

    # It is ended for its time.
    def hang(step, execution)
      execution.outcome = "late"
      pause(Hung::TIMEOUT - ((@now_ns / 1e9) - step.transitions.last.at))
      "timeout"
    end

    def pause(seconds)
      @now_ns += (seconds * 1_000_000_000).round
    end
  end
end
