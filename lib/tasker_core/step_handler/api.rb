# frozen_string_literal: true

require_relative "../internal/http/answer"
require_relative "../internal/http/connections"
require_relative "../internal/http/settings"
require_relative "base"

module TaskerCore
  module StepHandler
    # A step that calls an HTTP service, with Faraday (docs/http_steps.md). A handler returns the response, whose status
    # says whether the step failed, and whether it is tried again.
    #
    # @example
    #   class FetchRates < TaskerCore::StepHandler::Api
    #     def process(task, _sequence, _step)
    #       connection.get("rates", { currency: task.context["currency"] })
    #     end
    #   end
    #   TaskerCore.define("pricing") do
    #     step "fetch_rates", handler: FetchRates, config: { url: "https://bank.example/v1", timeout_seconds: 5 }
    #   end
    class Api < Base
      # Looks at what `process` returned, before `process_results` has it.
      module Checks
        # @param task [Task]
        # @param sequence [Sequence]
        # @param step [Step]
        # @return [Object] what the handler returned
        # @raise [PermanentError] the status of the response is 400, 401, 403, 404 or 422
        # @raise [RetryableError] the status is another one outside of 200..226
        def process(task, sequence, step)
          @step = step
          output = super
          failure = failure_of(answer_of(output))
          failure ? raise(failure) : output
        rescue StandardError => e
          raise failure_of(Internal::Http::Answer.of_error(e)) || e
        end
      end

      # Each handler looks at its responses, whatever classes are between this one and its own.
      #
      # @return [Api]
      def self.new(...)
        super.extend(Checks)
      end

      # @param config [Hash{String, Symbol => Object}, nil] url, params, headers, ssl, timeout_seconds,
      #   open_timeout_seconds, idempotency_header, circuit_breaker, and what the handler needs itself
      # @yieldparam connection [Faraday::Connection] to which middleware is added
      def initialize(config: nil, &middleware)
        super(config: config)
        @middleware = middleware
        @step = @connection = nil
      end

      # @return [Faraday::Connection] one for each attempt
      # @raise [PermanentError] the config is not understood
      # @raise [BlockedError] Faraday is not installed
      # @example
      #   connection.post("charges", { amount: 5 }.to_json)
      def connection
        @connection ||= Internal::Http::Connections.make(settings, @middleware) { @step&.idempotency_key }
      end

      # Unless overridden, the results of a response are its status and its body, parsed where it is JSON.
      #
      # @param step [Step]
      # @param output [Object] what `process` returned
      # @param initial [Object, nil]
      # @return [void]
      # @example
      #   sequence.results_of("fetch_rates") # => { "status" => 200, "body" => { "EUR" => 1.1 } }
      def process_results(step, output, initial)
        super(step, results_of(output), initial)
      end

      private

      # Turns the config into {Internal::Http::Settings}.
      def settings
        Internal::Http::Settings.new(config)
      end

      # What an output says of a request, or nil.
      def answer_of(output)
        Internal::Http::Answer.of(output)
      end

      # What the step fails with, or nil.
      def failure_of(answer)
        answer&.failure
      end

      # What is kept of an output.
      def results_of(output)
        answer_of(output)&.results || output
      end
    end
  end
end
