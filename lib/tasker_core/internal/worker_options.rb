# frozen_string_literal: true

require "json"
require_relative "../errors"
require_relative "check"
require_relative "encryption_keys"
require_relative "suggestion"

module TaskerCore
  module Internal
    # The options of a {Worker}, checked and frozen. All times are in seconds.
    class WorkerOptions
      # Option => default.
      DEFAULTS = { concurrency: 5, queues: nil, shutdown_timeout: 25.0, heartbeat_interval: 2.0,
                   dead_after: 6.0, retention: 14 * 86_400, error_retention: 90 * 86_400,
                   max_results_bytes: 1_048_576 }.freeze
      # Options that may be nil: never.
      AGES = %i[retention error_retention].freeze
      # Option => smallest and largest number.
      RANGES = { concurrency: 1..1_000, shutdown_timeout: 0..86_400, heartbeat_interval: 0.05..600,
                 dead_after: 0.1..3_600, max_results_bytes: 1_024..67_108_864 }.freeze
      # Most queues, and the longest name of one, in bytes.
      MAX_QUEUES = 1_000
      MAX_QUEUE_NAME = 64
      # A worker counts as dead after no less than this many missed heartbeats.
      MISSED_HEARTBEATS = 2

      # @param options [Object] as they were given
      # @return [Object] with names as symbols, frozen, where that is possible
      # @example
      #   WorkerOptions.copy("concurrency" => 10) # => { concurrency: 10 }
      def self.copy(options)
        options.is_a?(Hash) ? options.transform_keys { |name| name.to_s.to_sym }.freeze : options
      end

      # @return [Hash{Symbol => Object}] all options
      attr_reader :values

      # @param given [Hash{Symbol => Object}] keys of {DEFAULTS}
      # @raise [ConfigurationError] an unknown option or a value that is not allowed
      def initialize(**given)
        @values = DEFAULTS.merge(given).freeze
        check_names(given.keys)
        RANGES.each { |name, range| check_number(name, range) }
        check_queues
        check_heartbeat
        AGES.each { |name| check_age(name) }
        freeze
      end

      # @return [Integer] number of threads
      def concurrency
        values.fetch(:concurrency)
      end

      # @return [Numeric] seconds
      def shutdown_timeout
        values.fetch(:shutdown_timeout)
      end

      # @param url [String] the database
      # @param configuration [Configuration] says how long to wait for it, and the keys
      # @param record_events [Integer] kinds of events that are recorded from the start, as {Subscriptions#wanted}
      # @return [String] what the native worker is started with
      # @example
      #   Bridge::Worker.start(options.native_json("postgres:///shop", TaskerCore.configuration))
      def native_json(url, configuration, record_events: 0)
        JSON.generate({ "url" => url, "connect_timeout_ms" => (configuration.connect_timeout * 1000).ceil,
                        "encryption_keys" => EncryptionKeys.list(configuration.encryption_keys),
                        "queues" => values.fetch(:queues), "concurrency" => concurrency,
                        "heartbeat_interval_ms" => milliseconds(:heartbeat_interval),
                        "dead_after_ms" => milliseconds(:dead_after),
                        "retention_ms" => milliseconds(:retention),
                        "error_retention_ms" => milliseconds(:error_retention), "record_events" => record_events,
                        "max_results_bytes" => values.fetch(:max_results_bytes) })
      end

      private

      def milliseconds(name)
        seconds = values.fetch(name)
        seconds && (seconds * 1000).round
      end

      def check_names(names)
        unknown = names.find { |name| !DEFAULTS.key?(name) }
        return unless unknown

        raise ConfigurationError.new("a worker has no option #{unknown.inspect}" \
                                     "#{Suggestion.sentence(unknown, DEFAULTS.keys)}",
                                     details: { "key" => unknown.to_s, "allowed" => DEFAULTS.keys.join(", ") })
      end

      def check_number(name, range)
        type = DEFAULTS[name].is_a?(Integer) ? Integer : Numeric
        value = values.fetch(name)
        return if value.is_a?(type) && value.real? && range.cover?(value)

        refuse(name, "a #{type == Integer ? "whole number" : "number of seconds"} from #{range.min} to #{range.max}")
      end

      def check_queues
        queues = values.fetch(:queues)
        return if queues.nil?
        return if queues.is_a?(Array) && queues.size.between?(1, MAX_QUEUES) && queues.all? { |name| queue_name?(name) }

        refuse(:queues, "nil (every queue) or an array of 1 to #{MAX_QUEUES} names of 1 to #{MAX_QUEUE_NAME} bytes")
      end

      def queue_name?(name)
        name.is_a?(String) && name.bytesize.between?(1, MAX_QUEUE_NAME) && !name.b.include?("\0") &&
          name.encode(Encoding::UTF_8).valid_encoding?
      rescue EncodingError
        false
      end

      def check_heartbeat
        least = values.fetch(:heartbeat_interval) * MISSED_HEARTBEATS
        return if values.fetch(:dead_after) >= least

        refuse(:dead_after, "at least #{least} seconds, #{MISSED_HEARTBEATS} times heartbeat_interval")
      end

      def check_age(name)
        value = values.fetch(name)
        return if value.nil? || (value.is_a?(Numeric) && value.real? && (0..Check::MAX_AGE).cover?(value))

        refuse(name, "nil (for ever) or a number of seconds from 0 to #{Check::MAX_AGE}")
      end

      def refuse(name, allowed)
        value = values.fetch(name).inspect.scrub[0, 200]
        raise ConfigurationError.new("#{name} is #{value}, allowed is #{allowed}",
                                     details: { "key" => name.to_s, "value" => value, "allowed" => allowed })
      end
    end
  end
end
