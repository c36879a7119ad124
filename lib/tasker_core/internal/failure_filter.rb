# frozen_string_literal: true

require "json"
require_relative "check"

module TaskerCore
  module Internal
    # Which failures are meant, as the native library reads it.
    class FailureFilter
      # Texts that a failure can be looked for by.
      TEXTS = %i[namespace name version step error message].freeze
      # All that it can be looked for by.
      KEYS = [*TEXTS, :state, :tags, :task_id, :since, :until].freeze
      # States of steps that failed.
      STATES = %w[error blocked].freeze

      # @param tags [Array<String>] that the task has all of. Default: none.
      # @param task_id [Integer, nil]
      # @param since [Time, nil] of the failure
      # @param state [String, Symbol, nil] of the step: one of {STATES}
      # @param options [Hash{Symbol => Object}] {TEXTS}, of which `error` may be a class, and until [Time]
      # @raise [InvalidArgument]
      def initialize(tags: [], task_id: nil, since: nil, state: nil, **options)
        Check.keywords(options, TEXTS + [:until], KEYS)
        @filter = texts(options).merge(state: Check.choice(state, "state", STATES), tags: Check.texts(tags, "tags"),
                                       task_id: task_id && Check.id(task_id),
                                       since: Check.optional_time(since, "since"),
                                       until: Check.optional_time(options[:until], "until")).freeze
        freeze
      end

      # @param limit [Integer]
      # @param before [Integer, nil] the failure after which the list goes on
      # @return [String]
      # @example
      #   FailureFilter.new(name: "order").json(limit: 100, before: nil)
      def json(limit:, before:)
        JSON.generate(@filter.merge(limit: limit, before: before))
      end

      private

      def texts(options)
        TEXTS.to_h { |key| [key, Check.optional_text(text(options[key]), key.name)] }
      end

      def text(value)
        value.is_a?(Module) ? value.name : value
      end
    end
  end
end
