# frozen_string_literal: true

require_relative "../errors"
require_relative "../internal/retry_after"

module TaskerCore
  # What a handler raises to say what its failure means: {RetryableError}, {PermanentError} or {BlockedError}.
  class HandlerError < Error
    CODE = :handler

    # @return [String, nil] the application's own name for the failure
    attr_reader :error_code
    # @return [Hash] as given; facts about the failure for the application's own use
    attr_reader :context

    # @param message [String, nil]
    # @param error_code [String, Symbol, Integer, nil] recorded with the attempt. Default nil.
    # @param context [Hash] recorded with the attempt
    def initialize(message = nil, error_code: nil, context: {})
      super(message)
      @error_code = error_code&.to_s
      @context = context
    end
  end

  # Raised by a handler: this attempt failed, another may succeed. It is tried again while the step has attempts
  # left. Any other StandardError means the same, unless a table of `error_classes` says otherwise; this one can say
  # when.
  #
  # @example wait as long as the other side asks for
  #   raise TaskerCore::RetryableError.new("rate limited", retry_after: response["Retry-After"])
  class RetryableError < HandlerError
    CODE = :retryable
    RETRYABLE = true

    # @return [Numeric, Time, String, nil] as given
    attr_reader :retry_after

    # Never fails because of `retry_after`, so that the failure itself is not lost: what is not understood, and what
    # is negative or not finite, counts as nil, and the message says so.
    #
    # @param message [String, nil]
    # @param retry_after [Numeric, Time, String, nil] when the next attempt may start: seconds from now, a moment,
    #   or the value of an HTTP Retry-After header (seconds or a date); one that has passed means now; at most a day
    #   counts. Default nil: the step's retry policy decides.
    # @param error_code [String, Symbol, Integer, nil] recorded with the attempt. Default nil.
    # @param context [Hash] recorded with the attempt
    def initialize(message = nil, retry_after: nil, error_code: nil, context: {})
      @retry_after = retry_after
      super(understood? ? message : "#{message || self.class} (#{Internal::RetryAfter.problem(retry_after)})",
            error_code: error_code, context: context)
    end

    # {#retry_after} as seconds from a moment.
    #
    # @param now [Time] Default: the clock.
    # @return [Float, nil] seconds, 0.0 for a moment that has passed; nil: not given or not understood
    # @example
    #   RetryableError.new("busy", retry_after: "120").retry_after_seconds # => 120.0
    def retry_after_seconds(now: Time.now)
      Internal::RetryAfter.seconds(@retry_after, now) unless @retry_after.nil?
    end

    private

    def understood?
      @retry_after.nil? || !retry_after_seconds.nil?
    end
  end

  # Raised by a handler: no other attempt can succeed. The step ends in error at once.
  #
  # @example
  #   raise TaskerCore::PermanentError.new("card is stolen", error_code: "CARD_STOLEN")
  class PermanentError < HandlerError
    CODE = :permanent
  end

  # The signal that a handler waits for did not come in time. Unless the handler rescues it, the step ends in error.
  #
  # @example go on without it
  #   approval = begin
  #     step.wait_for("approved", timeout: 86_400)
  #   rescue TaskerCore::SignalTimeout
  #     nil
  #   end
  class SignalTimeout < PermanentError
    CODE = :signal_timeout
  end

  # A task that a step runs ended in error or was cancelled. Unless the handler rescues it, the step ends in error. Its
  # `context` holds "task_id", "state", "workflow" and "failed_steps".
  class WorkflowFailed < PermanentError
    CODE = :workflow_failed
  end

  # What a handler polls for did not come in time. Unless the handler rescues it, the step ends in error.
  class PollTimeout < PermanentError
    CODE = :poll_timeout
  end

  # Raised by a handler: the step needs a person or an outside event. It stays blocked until somebody acts.
  #
  # @example
  #   raise TaskerCore::BlockedError, "the address must be checked by hand"
  class BlockedError < HandlerError
    CODE = :blocked
  end
end
