# frozen_string_literal: true

require_relative "../clock"
require_relative "circuit_breaker"

module TaskerCore
  module Internal
    module Http
      # The circuit breakers of a process, one for each host that has failed of late. Safe to use from several threads.
      class Hosts
        # Most hosts that are kept; beyond, those are forgotten that have failed longest ago.
        MOST = 1_000

        # @param clock [#call] seconds. Default: {Clock}.
        def initialize(clock: -> { Clock.seconds })
          @clock = clock
          @lock = Mutex.new
          @breakers = {}
        end

        # Asks to send a request, which is to be followed by {#answered}, {#failed} or {#given_up}.
        #
        # @param host [String]
        # @param rule [CircuitBreaker::Rule]
        # @return [Float, nil] seconds until one may be sent; nil: it may be sent now
        # @example
        #   hosts.wait("https://bank.example:443", rule) # => nil
        def wait(host, rule)
          now = @clock.call
          change(host) do |breaker|
            wait = breaker.wait(now, rule)
            return wait if wait

            breaker.sent(now)
          end
          nil
        end

        # @param host [String]
        # @return [void]
        def answered(host)
          change(host, &:answered)
        end

        # @param host [String]
        # @param rule [CircuitBreaker::Rule]
        # @return [void]
        # @example
        #   hosts.failed("https://bank.example:443", rule)
        def failed(host, rule)
          now = @clock.call
          change(host) { |breaker| breaker.failed(now, rule) }
        end

        # @param host [String]
        # @return [void]
        def given_up(host)
          change(host, &:given_up)
        end

        # @return [Integer] hosts that are kept
        def size
          @breakers.size
        end

        # Forgets all of them.
        #
        # @return [void]
        def clear
          @lock.synchronize { @breakers.clear }
        end

        private

        # A host is kept while its breaker says anything; the one that changed last stands last.
        def change(host)
          @lock.synchronize do
            before = @breakers.fetch(host, CircuitBreaker::CLOSED)
            after = yield before
            next if after.equal?(before)

            @breakers.delete(host)
            @breakers[host] = after unless after.equal?(CircuitBreaker::CLOSED)
            @breakers.shift if @breakers.size > MOST
          end
        end
      end

      # Those that all handlers of the process share.
      HOSTS = Hosts.new
    end
  end
end
