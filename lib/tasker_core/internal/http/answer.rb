# frozen_string_literal: true

require "json"
require "uri"
require_relative "../../step_handler/errors"

module TaskerCore
  module Internal
    module Http
      # The answer to a request: what it means for the step, and what is kept of it. Pure.
      class Answer
        # Statuses of requests that did what was asked.
        FINE = (200..226).freeze
        # Statuses that the same request would get again.
        PERMANENT = [400, 401, 403, 404, 422].freeze
        # Longest piece of a body that a failure keeps, in characters.
        MAX_BODY = 1_000

        # @param object [Object] what a handler returned
        # @return [Answer, nil] nil: it is no response of Faraday's, nor like one
        # @example
        #   Answer.of(connection.get("charges/7"))&.status # => 200
        def self.of(object)
          return unless %i[status headers body].all? { |part| object.respond_to?(part) } && object.status.is_a?(Integer)

          env = object.env if defined?(::Faraday::Response) && object.is_a?(::Faraday::Response)
          new(status: object.status, headers: object.headers, body: object.body,
              method: env&.method, url: env&.url)
        end

        # @param error [Exception]
        # @return [Answer, nil] nil: it is none of Faraday's that brings an answer
        # @example
        #   Answer.of_error(Faraday::ResourceNotFound.new("no", { status: 404 })).status # => 404
        def self.of_error(error)
          return unless defined?(::Faraday::Error) && error.is_a?(::Faraday::Error) && error.response.is_a?(Hash)

          status, headers, body, request = error.response.values_at(:status, :headers, :body, :request)
          request ||= {}
          new(status: status, headers: headers, body: body, method: request[:method], url: request[:url]) if status
        end

        # @return [Integer]
        attr_reader :status

        # @param status [Integer]
        # @param headers [Hash, nil]
        # @param body [Object] text as a rule
        # @param method [Symbol, nil] of the request
        # @param url [URI, String, nil] of the request
        def initialize(status:, headers: nil, body: nil, method: nil, url: nil)
          @status = status
          @headers = headers || {}
          @body = body
          @method = method
          @url = url
        end

        # @return [HandlerError, nil] what the step fails with; nil: it does not
        # @example
        #   Answer.new(status: 404).failure.error_code # => "HTTP_404"
        def failure
          return if FINE.cover?(status)

          options = { error_code: "HTTP_#{status}", context: context }
          return PermanentError.new(message, **options) if PERMANENT.include?(status)

          RetryableError.new(message, retry_after: header("retry-after"), **options)
        end

        # @return [Hash{String => Object}] status, and the body: as data where the answer says that it is JSON
        # @example
        #   answer.results # => { "status" => 200, "body" => { "id" => 7 } }
        def results
          { "status" => status, "body" => json? ? parsed : text }
        end

        private

        def message
          request = [@method&.to_s&.upcase, place].compact.join(" ")
          request.empty? ? "the answer is HTTP #{status}" : "#{request} was answered with HTTP #{status}"
        end

        def context
          { "status" => status, "url" => place, "body" => text.is_a?(String) ? text.scrub[0, MAX_BODY] : text }.compact
        end

        # Without parameters and passwords, which may be secrets.
        def place
          uri = URI.parse(@url.to_s) if @url
          uri&.host && "#{uri.scheme}://#{uri.host}:#{uri.port}#{uri.path}"
        rescue URI::InvalidURIError
          nil
        end

        def header(name)
          found = @headers.find { |key, _value| key.to_s.casecmp?(name) }
          found&.last
        end

        def json?
          @body.is_a?(String) && header("content-type").to_s.match?(%r{\Aapplication/(\S+\+)?json\b}i)
        end

        def parsed
          JSON.parse(text)
        rescue JSON::ParserError
          text
        end

        def text
          @body.is_a?(String) && @body.encoding == Encoding::BINARY ? @body.dup.force_encoding(Encoding::UTF_8) : @body
        end
      end
    end
  end
end
