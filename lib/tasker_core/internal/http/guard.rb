# frozen_string_literal: true

require_relative "../../step_handler/errors"
require_relative "hosts"
require_relative "settings"

module TaskerCore
  module Internal
    module Http
      # Faraday's innermost middleware in the connection of a step: puts the step's key on the request, and sends none
      # to a host that fails. What an adapter raises, and statuses from 500 on, are the host's failures.
      class Guard
        # Methods that do twice what is asked for twice.
        KEYED = %i[post patch].freeze
        # Lowest status that says that the host has failed.
        FAILED = 500

        # @param app [#call] what sends the request
        # @param settings [Settings]
        # @param hosts [Hosts]
        # @yieldreturn [String, nil] the step's key
        def initialize(app, settings, hosts = HOSTS, &key)
          @app = app
          @header = settings.idempotency_header
          @rule = settings.circuit_breaker
          @hosts = hosts
          @key = key
          @keyed = nil
        end

        # @param env [Faraday::Env]
        # @return [Faraday::Response]
        # @raise [RetryableError] the host has failed; says when a request may be sent
        # @raise [PermanentError] nothing says what host to ask
        # @example
        #   guard.call(env).status # => 200
        def call(env)
          refuse(env) if env.url.host.to_s.empty?
          put_key(env)
          return @app.call(env) unless @rule

          host = "#{env.url.scheme}://#{env.url.host}:#{env.url.port}"
          admit(host)
          watch(host) { @app.call(env) }
        end

        private

        # An adapter would ask the own host.
        def refuse(env)
          raise PermanentError.new("#{env.method.to_s.upcase} #{env.url.path} names no host, and url of the step's " \
                                   "handler_config is not set: set it, or ask for a whole URL",
                                   error_code: Settings::INVALID_CONFIG)
        end

        # One key stands for one request: another one of the same attempt has none, unless the handler gives it one.
        def put_key(env)
          return unless @header && KEYED.include?(env.method) && !env.request_headers.key?(@header)

          request = [env.method, env.url, env.body]
          @keyed ||= request
          key = @key.call if @keyed == request
          env.request_headers[@header] = key if key
        end

        def admit(host)
          wait = @hosts.wait(host, @rule)
          return unless wait

          raise RetryableError.new("#{host} is not asked: #{@rule.failures} requests in a row failed; " \
                                   "the next one may be sent in #{wait.ceil} s",
                                   retry_after: wait, error_code: "CIRCUIT_OPEN", context: { "host" => host })
        end

        # An interrupt, of a timeout for instance, says nothing of the host.
        def watch(host)
          told = false
          response = yield
          told = true
          response.on_complete { |env| env.status.to_i >= FAILED ? @hosts.failed(host, @rule) : @hosts.answered(host) }
        rescue ::Faraday::Error
          told = true
          @hosts.failed(host, @rule)
          raise
        ensure
          @hosts.given_up(host) unless told
        end
      end
    end
  end
end
