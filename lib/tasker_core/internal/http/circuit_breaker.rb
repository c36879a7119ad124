# frozen_string_literal: true

module TaskerCore
  module Internal
    # Steps that call HTTP services.
    module Http
      # What a process knows of a host that fails, as a frozen value: whether requests to it may be sent. Pure: times
      # are arguments, and what happens gives another value.
      #
      # | state | requests | leaves it |
      # | --- | --- | --- |
      # | closed | are sent | when as many in a row failed as the rule says: open |
      # | open | are refused | after the rule's time: half-open |
      # | half-open | one is sent, the probe; others are refused | with the probe's answer: closed or open |
      #
      # A probe that brings no answer within the rule's time is given up, and another one is sent.
      class CircuitBreaker
        # How many requests in a row have to fail, and for how many seconds none is sent then.
        Rule = Struct.new(:failures, :open_seconds, keyword_init: true)

        # @return [Integer] requests in a row that failed
        attr_reader :failures
        # @return [Float, nil] when it opened; nil: it is closed
        attr_reader :opened_at
        # @return [Float, nil] when the probe was sent whose answer is awaited
        attr_reader :probed_at

        # @param failures [Integer]
        # @param opened_at [Float, nil]
        # @param probed_at [Float, nil]
        def initialize(failures: 0, opened_at: nil, probed_at: nil)
          @failures = failures
          @opened_at = opened_at
          @probed_at = probed_at
          freeze
        end

        # No request has failed.
        CLOSED = new

        # @param now [Float] seconds, by any clock that never goes back
        # @param rule [Rule]
        # @return [Float, nil] seconds for which no request may be sent; nil: one may
        # @example
        #   CircuitBreaker::CLOSED.wait(0.0, rule) # => nil
        def wait(now, rule)
          return unless opened_at

          left = (probed_at || opened_at) + rule.open_seconds - now
          left if left.positive?
        end

        # @param now [Float] when a request is sent that {#wait} allows
        # @return [CircuitBreaker]
        # @example
        #   breaker = breaker.sent(now)
        def sent(now)
          opened_at ? with(probed_at: now) : self
        end

        # An answer that comes while the breaker is open says as well that the host is back.
        #
        # @return [CircuitBreaker] after a request that was answered
        # @example
        #   breaker = breaker.answered
        def answered
          CLOSED
        end

        # A request that was sent before the breaker opened, and fails after that, does not keep it open for longer.
        #
        # @param now [Float]
        # @param rule [Rule]
        # @return [CircuitBreaker] after a request that failed
        # @example
        #   breaker = breaker.failed(now, rule)
        def failed(now, rule)
          return self if opened_at && !probed_at

          failures = self.failures + 1
          opens = opened_at || failures >= rule.failures
          self.class.new(failures: failures, opened_at: opens ? now : nil)
        end

        # @return [CircuitBreaker] after a request that ended without saying anything of the host
        # @example
        #   breaker = breaker.given_up
        def given_up
          probed_at ? with(probed_at: nil) : self
        end

        private

        def with(probed_at:)
          self.class.new(failures: failures, opened_at: opened_at, probed_at: probed_at)
        end
      end
    end
  end
end
