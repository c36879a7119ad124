# frozen_string_literal: true

require "json"
require_relative "bridge"
require_relative "check"

module TaskerCore
  module Internal
    # Which tasks are meant, as the native library reads it.
    class TaskFilter
      # Texts that a task can be looked for by.
      TEXTS = %i[name namespace version].freeze
      # All that it can be looked for by.
      KEYS = [*TEXTS, :state, :tags].freeze
      # What else a list is asked with.
      OF_LISTS = %i[unfinished requested_before limit before].freeze

      # @param state [String, Symbol, nil] of the task
      # @param unfinished [Boolean] only tasks that have not ended. Default false.
      # @param requested_before [Time, nil] only tasks that were requested before then
      # @param tags [Array<String>] that the task has all of. Default: none.
      # @param texts [Hash{Symbol => String, nil}] {TEXTS}
      # @raise [InvalidArgument]
      def initialize(state: nil, unfinished: false, requested_before: nil, tags: [], **texts)
        Check.keywords(texts, TEXTS, KEYS + OF_LISTS)
        @filter = texts.to_h { |key, text| [key, Check.optional_text(text, key.name)] }.merge(
          state: Check.choice(state, "state", Bridge::TASK_STATES),
          tags: Check.texts(tags, "tags"),
          unfinished: Check.flag(unfinished, "unfinished"),
          requested_before: Check.optional_time(requested_before, "requested_before")
        ).freeze
        freeze
      end

      # @param limit [Integer]
      # @param before [Integer, nil] the task after which the list goes on
      # @return [String]
      # @example
      #   TaskFilter.new(state: "error").json(limit: 100, before: nil)
      def json(limit:, before:)
        JSON.generate(@filter.merge(limit: limit, before: before))
      end
    end
  end
end
