# frozen_string_literal: true

module Tasker
  module StepHandler
    # A handler that calls an HTTP service: {TaskerCore::StepHandler::Api} with the ancestor's config.
    #
    # @example
    #   class FetchCart < Tasker::StepHandler::Api
    #     def process(task, _sequence, _step)
    #       connection.get("/cart", { cart_id: task.context["cart_id"] })
    #     end
    #   end
    class Api < TaskerCore::StepHandler::Api
      include Ancestry

      # Statuses after which the service is left alone for a while.
      BACKOFF_ERROR_CODES = [429, 503].freeze
      # Longest delay that `retry_delay` grows to, in seconds.
      MAX_DELAY = 300

      # The settings of a handler, in Ruby.
      class Config
        # Names of the ancestor's settings.
        NAMES = %i[url params ssl headers enable_exponential_backoff retry_delay jitter_factor].freeze

        # @return [String, nil]
        attr_accessor :url
        # @return [Hash]
        attr_accessor :params, :headers
        # @return [Hash, nil]
        attr_accessor :ssl
        # @return [Boolean] whether `retry_delay` is used
        attr_accessor :enable_exponential_backoff
        # @return [Numeric, nil] seconds; see {#initialize}
        attr_accessor :retry_delay
        # @return [Numeric, nil] is not used
        attr_accessor :jitter_factor

        # @param config [Config, Hash, nil] what a template or a handler says
        # @return [Config]
        # @example
        #   Config.of({ "url" => "https://bank.example", "timeout_seconds" => 5 }).url # => "https://bank.example"
        def self.of(config)
          config.is_a?(self) ? config : new(url: nil, **(config || {}).transform_keys(&:to_sym))
        end

        # @param url [String, nil]
        # @param params [Hash, nil]
        # @param ssl [Hash, nil]
        # @param headers [Hash, nil] Default: JSON both ways.
        # @param enable_exponential_backoff [Boolean, nil] whether `retry_delay` is used. Default true.
        # @param retry_delay [Numeric, nil] seconds before the second attempt after a 429 or 503 that does not say when;
        #   twice as long before each other one. Default nil: the step's retry policy decides.
        # @param jitter_factor [Numeric, nil] is not used
        # @param more [Hash{Symbol => Object}] other settings of {TaskerCore::StepHandler::Api}, and the handler's own
        def initialize(url:, params: nil, ssl: nil, headers: nil, enable_exponential_backoff: true, retry_delay: nil, # rubocop:disable Metrics/ParameterLists -- the ancestor's
                       jitter_factor: nil, **more)
          @url = url
          @params = params || {}
          @ssl = ssl
          @headers = headers || TaskerCore::Internal::Http::Settings::HEADERS
          @enable_exponential_backoff = enable_exponential_backoff != false
          @retry_delay = retry_delay
          @jitter_factor = jitter_factor
          @more = more
        end

        # @param name [String, Symbol]
        # @return [Object, nil] the setting of that name
        # @example
        #   config["merchant"]
        def [](name)
          to_h[name.to_s]
        end

        # @return [Hash{String => Object}] what is set
        def to_h
          { **NAMES.to_h { |name| [name, public_send(name)] }, **@more }.compact.transform_keys(&:to_s)
        end
      end

      # @param config [Config, Hash, nil]
      # @yieldparam connection [Faraday::Connection]
      def initialize(config: nil, &middleware)
        super(config: Config.of(config), &middleware)
      end

      private

      def settings
        TaskerCore::Internal::Http::Settings.new(config.to_h)
      end

      # The ancestor takes a Hash with a status for a response.
      def answer_of(output)
        return super unless output.is_a?(Hash) && output[:status].is_a?(Integer)

        TaskerCore::Internal::Http::Answer.new(**output.slice(:status, :headers, :body))
      end

      def failure_of(answer)
        failure = super
        delay = retry_delay if failure.is_a?(RetryableError) && failure.retry_after.nil? &&
                               BACKOFF_ERROR_CODES.include?(answer.status)
        return failure unless delay

        RetryableError.new(failure.message, retry_after: delay, error_code: failure.error_code,
                                            context: failure.context)
      end

      def retry_delay
        return unless config.enable_exponential_backoff && config.retry_delay

        [Float(config.retry_delay) * (2**@step.attempts), MAX_DELAY].min
      end

      # As the ancestor kept a response: the body as it came.
      def results_of(output)
        return output if output.is_a?(Hash) || answer_of(output).nil?

        { "status" => output.status, "body" => output.body, "response_headers" => output.headers.to_h }
      end
    end
  end
end
