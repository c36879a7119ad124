# frozen_string_literal: true

require_relative "../../step_handler/errors"
require_relative "guard"

module TaskerCore
  module Internal
    module Http
      # Makes connections, with Faraday, which is loaded with the first of them.
      module Connections
        # Code of attempts that have no Faraday.
        MISSING = "FARADAY_MISSING"

        module_function

        # @param settings [Settings]
        # @param middleware [Proc, nil] what Faraday.new is called with
        # @yieldreturn [String, nil] the step's key
        # @return [Faraday::Connection]
        # @raise [BlockedError] Faraday is not installed
        # @example
        #   Connections.make(settings) { step.idempotency_key }.get("charges")
        def make(settings, middleware = nil, &key)
          load
          connection = ::Faraday.new(url: settings.url, params: settings.params, headers: settings.headers,
                                     ssl: settings.ssl, request: settings.timeouts, &middleware)
          connection.use(Guard, settings, &key)
          connection
        end

        # @api private
        def load
          require "faraday"
        rescue LoadError => e
          raise unless e.path == "faraday"

          raise BlockedError.new("a step handler of the kind Api needs Faraday, which is not installed: add gem " \
                                 "\"faraday\" to the Gemfile (Debian: ruby-faraday), then have the step tried again",
                                 error_code: MISSING)
        end
      end
    end
  end
end
