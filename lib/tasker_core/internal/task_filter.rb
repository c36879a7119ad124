# frozen_string_literal: true

require "json"
require_relative "check"

module TaskerCore
  module Internal
    # Which tasks are meant, as the native library reads it.
    class TaskFilter
      # Texts that a task can be looked for by.
      TEXTS = %i[state name namespace version].freeze

      # @param unfinished [Boolean] only tasks that have not ended. Default false.
      # @param requested_before [Time, nil] only tasks that were requested before then
      # @param tags [Array<String>] that the task has all of. Default: none.
      # @param texts [Hash{Symbol => String, nil}] {TEXTS}
      # @raise [InvalidArgument]
      def initialize(unfinished: false, requested_before: nil, tags: [], **texts)
        Check.keywords(texts, TEXTS)
        @filter = texts.to_h { |key, text| [key, Check.optional_text(text, key.name)] }.merge(
          tags: Check.texts(tags, "tags"),
          unfinished: unfinished ? true : false,
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
