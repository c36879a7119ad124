# frozen_string_literal: true

require "uri"
require_relative "../../step_handler/errors"
require_relative "../masked_url"
require_relative "circuit_breaker"

module TaskerCore
  module Internal
    module Http
      # What the `handler_config` of a step says of its requests. Keys that are not known are the handler's own.
      class Settings
        # Code of attempts whose config is not understood.
        INVALID_CONFIG = "INVALID_CONFIG"
        # Headers of requests that name no others.
        HEADERS = { "Content-Type" => "application/json", "Accept" => "application/json" }.freeze
        # What requests can be sent to.
        ALLOWED_URL = "a URL that begins with http:// or https://"
        # Longest time that may be set, in seconds.
        LONGEST = 86_400
        # Most failures that a circuit breaker may wait for.
        MOST_FAILURES = 1_000

        # Keys of circuit_breaker.
        RULE_KEYS = %w[failures open_seconds].freeze

        # @return [String, nil] nil: requests name theirs themselves
        attr_reader :url
        # @return [Hash] parameters of every request
        attr_reader :params
        # @return [Hash{String => String}] headers of every request
        attr_reader :headers
        # @return [Hash{Symbol => Object}] Faraday's options for TLS
        attr_reader :ssl
        # @return [Hash{Symbol => Numeric}] timeout and open_timeout, seconds
        attr_reader :timeouts
        # @return [String, nil] name of the header that carries the step's key; nil: none
        attr_reader :idempotency_header
        # @return [CircuitBreaker::Rule, nil] nil: requests are sent always
        attr_reader :circuit_breaker

        # @param config [Hash{String, Symbol => Object}, nil]
        # @raise [PermanentError] a value is not allowed
        # @example
        #   Settings.new({ "url" => "https://bank.example", "timeout_seconds" => 5 }).timeouts # => {timeout: 5, ...}
        def initialize(config)
          @config = (config || {}).transform_keys(&:to_s)
          @url = optional("url", String, nil)
          checked("url", MaskedUrl.of(@url), ALLOWED_URL) { address?(@url) } if @url
          @params = optional("params", Hash, {})
          @headers = HEADERS.merge(optional("headers", Hash, {}).transform_values(&:to_s))
          @ssl = optional("ssl", Hash, {}).transform_keys(&:to_sym)
          @timeouts = { timeout: seconds("timeout_seconds", 30), open_timeout: seconds("open_timeout_seconds", 5) }
          @idempotency_header = switched("idempotency_header", String, "Idempotency-Key")
          @circuit_breaker = rule(switched("circuit_breaker", Hash, {}))
          freeze
        end

        private

        def address?(url)
          uri = URI.parse(url)
          uri.is_a?(URI::HTTP) && !uri.host.to_s.empty?
        rescue URI::InvalidURIError
          false
        end

        def optional(key, type, default)
          value = @config[key]
          value.nil? ? default : checked(key, value, type.name) { value.is_a?(type) }
        end

        # As {#optional}, and false turns it off.
        def switched(key, type, default)
          optional(key, type, default) unless @config[key] == false
        end

        def seconds(key, default)
          number(@config, key, default, 0.001..LONGEST)
        end

        def rule(given)
          return if given.nil?

          given = given.transform_keys(&:to_s)
          checked("circuit_breaker", given, RULE_KEYS.join(" and ")) { (given.keys - RULE_KEYS).empty? }
          CircuitBreaker::Rule.new(failures: number(given, "failures", 5, 1..MOST_FAILURES),
                                   open_seconds: number(given, "open_seconds", 30, 0.001..LONGEST)).freeze
        end

        def number(config, key, default, range)
          value = config.fetch(key, default)
          value = default if value.nil?
          allowed = "a number from #{range.begin} to #{range.end}"
          checked(key, value, allowed) { value.is_a?(Numeric) && value.real? && range.cover?(value) }
        end

        def checked(key, value, allowed)
          return value if yield

          raise PermanentError.new("#{key} of the step's handler_config is #{value.inspect[0, 60]}, " \
                                   "allowed: #{allowed}", error_code: INVALID_CONFIG)
        end
      end
    end
  end
end
