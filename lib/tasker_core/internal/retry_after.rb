# frozen_string_literal: true

require "time"

module TaskerCore
  module Internal
    # When an attempt may be followed by another, in the words of whoever was called: the value of an HTTP Retry-After
    # header (RFC 9110, 10.2.3: seconds or a date), a number of seconds, or a moment.
    module RetryAfter
      # What is allowed: from now on, and finite.
      ALLOWED = (0.0..Float::MAX).freeze
      # Seconds as text.
      SECONDS = /\A\s*\d+(\.\d+)?\s*\z/.freeze
      # Classes whose values a message shows.
      SHOWN = [String, Symbol, Numeric, true, false].freeze
      # Longest piece of a value that a message shows, in characters.
      MAX_SHOWN = 60

      module_function

      # @param value [Object]
      # @param now [Time]
      # @return [Float, nil] seconds from now, 0.0 for a moment that has passed; nil: not understood
      # @example
      #   RetryAfter.seconds("Sat, 31 Jan 2026 12:02:00 GMT", Time.utc(2026, 1, 31, 12)) # => 120.0
      def seconds(value, now)
        seconds = read(value, now)
        seconds if ALLOWED.cover?(seconds)
      rescue StandardError
        nil
      end

      # @param value [Object] that is not understood
      # @return [String] what is wrong with it, as part of a message
      # @example
      #   RetryAfter.problem(:soon) # => "retry_after is :soon, which is neither ..."
      def problem(value)
        "retry_after is #{shown(value)}, which is neither seconds (from 0) nor an HTTP date nor a Time; " \
          "the step's retry policy decides"
      end

      # @api private
      def read(value, now)
        case value
        when String then of_text(value, now)
        when Time then until_moment(value, now)
        else of_object(value, now)
        end
      end

      # @api private
      def of_text(text, now)
        text.match?(SECONDS) ? Float(text) : until_moment(Time.httpdate(text.strip), now)
      end

      # Durations and numbers have seconds; a DateTime counts them too, but from 1970 on.
      #
      # @api private
      def of_object(value, now)
        return until_moment(value.to_time, now) if value.respond_to?(:to_time)

        value.to_f if value.respond_to?(:to_f)
      end

      # @api private
      def until_moment(moment, now)
        [moment - now, 0.0].max
      end

      # @api private
      def shown(value)
        return "a #{value.class}" unless SHOWN.any? { |type| type === value } # rubocop:disable Style/CaseEquality -- classes, and values

        text = value.inspect
        text.length > MAX_SHOWN ? "#{text[0, MAX_SHOWN]}..." : text
      rescue StandardError
        "an object without a class"
      end
    end
  end
end
