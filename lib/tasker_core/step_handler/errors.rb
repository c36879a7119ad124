# frozen_string_literal: true

require "time"
require_relative "../errors"

module TaskerCore
  # Raised by a handler: this attempt failed, another may succeed. It is tried again while the step has attempts
  # left. Any other StandardError means the same; this one can say when.
  #
  # @example wait as long as the other side asks for
  #   raise TaskerCore::RetryableError.new("rate limited", retry_after: response["Retry-After"])
  class RetryableError < Error
    CODE = :retryable
    RETRYABLE = true

    # @return [Numeric, Time, String, nil] as given
    attr_reader :retry_after
    # @return [Hash] as given; facts about the failure for the application's own use
    attr_reader :context

    # @param message [String, nil]
    # @param retry_after [Numeric, Time, String, nil] when the next attempt may start: seconds from now, a moment,
    #   or the value of an HTTP Retry-After header (seconds or a date). Default nil: the step's retry policy
    #   decides, as it does where a header's text is not understood.
    # @param context [Hash]
    # @raise [InvalidArgument] retry_after is of another type, negative or not finite
    def initialize(message = nil, retry_after: nil, context: {})
      super(message)
      @retry_after = retry_after
      @context = context
      seconds = retry_after_seconds(now: Time.at(0))
      return if seconds.nil? || (seconds.finite? && seconds >= 0)

      raise InvalidArgument, "retry_after must be a finite number of seconds, not negative, got #{retry_after.inspect}"
    end

    # {#retry_after} as seconds from a moment.
    #
    # @param now [Time] Default: the clock.
    # @return [Float, nil] seconds, never negative for a moment that has passed; nil: not given or not understood
    # @example
    #   RetryableError.new("busy", retry_after: "120").retry_after_seconds # => 120.0
    def retry_after_seconds(now: Time.now)
      case retry_after
      when nil then nil
      when Time then [retry_after - now, 0.0].max
      when String then seconds_of_header(now)
      else seconds_of_number
      end
    end

    private

    def seconds_of_header(now)
      return Float(retry_after) if retry_after.match?(/\A\s*\d{1,9}(\.\d{1,9})?\s*\z/)

      [Time.httpdate(retry_after.strip) - now, 0.0].max
    rescue ArgumentError
      nil
    end

    def seconds_of_number
      return retry_after.to_f if retry_after.respond_to?(:to_f)

      raise InvalidArgument, "retry_after must be seconds, a Time or the text of a Retry-After header, " \
                             "got #{retry_after.inspect} (#{retry_after.class})"
    end
  end

  # Raised by a handler: no other attempt can succeed. The step ends in error at once.
  #
  # @example
  #   raise TaskerCore::PermanentError.new("card is stolen", error_code: "CARD_STOLEN")
  class PermanentError < Error
    CODE = :permanent

    # @return [String, nil] the application's own name for the failure
    attr_reader :error_code
    # @return [Hash] as given; facts about the failure for the application's own use
    attr_reader :context

    # @param message [String, nil]
    # @param error_code [String, Symbol, Integer, nil] recorded with the attempt. Default nil.
    # @param context [Hash]
    def initialize(message = nil, error_code: nil, context: {})
      super(message)
      @error_code = error_code&.to_s
      @context = context
    end
  end

  # Raised by a handler: the step needs a person or an outside event. It stays blocked until somebody acts.
  #
  # @example
  #   raise TaskerCore::BlockedError, "the address must be checked by hand"
  class BlockedError < Error
    CODE = :blocked

    # @return [Hash] as given; facts about the failure for the application's own use
    attr_reader :context

    # @param message [String, nil]
    # @param context [Hash]
    def initialize(message = nil, context: {})
      super(message)
      @context = context
    end
  end
end
