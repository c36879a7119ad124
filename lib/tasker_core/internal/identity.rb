# frozen_string_literal: true

require_relative "check"

module TaskerCore
  module Internal
    # What a task is known by that may be submitted more than once, and for how long.
    module Identity
      # Options of a submit that are about it.
      OPTIONS = %i[idempotency_key unique unique_for on_duplicate].freeze
      # What becomes of a submit whose task is there already.
      ON_DUPLICATE = %w[return raise].freeze
      # Longest key in bytes.
      LONGEST_KEY = 256
      # What is allowed where there is nothing to which an option could belong.
      NEEDED = "only with idempotency_key or unique"

      module_function

      # @param idempotency_key [String, nil]
      # @param unique [Boolean] the context is the identity
      # @param unique_for [Numeric, nil] seconds
      # @param on_duplicate [String, Symbol, nil]
      # @return [Hash{String => Object}] of the request to the native client; empty where there is no identity
      # @raise [InvalidArgument]
      # @example
      #   Identity.of(idempotency_key: "order-17") # => { "idempotency_key" => "order-17" }
      def of(idempotency_key: nil, unique: false, unique_for: nil, on_duplicate: nil)
        identity = { "idempotency_key" => key(idempotency_key), "unique" => unique(unique, idempotency_key),
                     "unique_for_s" => Check.optional_span(unique_for, "unique_for", Check::MAX_AGE),
                     "on_duplicate" => word(on_duplicate) }.compact
        return identity if identity.empty? || idempotency_key || unique

        Check.refuse("unique_for", unique_for, NEEDED) if unique_for
        Check.refuse("on_duplicate", on_duplicate, NEEDED)
      end

      # @api private
      def key(value)
        text = Check.optional_text(value, "idempotency_key")
        return text if text.nil? || (text.bytesize <= LONGEST_KEY && !text.include?("\0"))

        Check.refuse("idempotency_key", value, "1 to #{LONGEST_KEY} bytes without U+0000")
      end

      # @api private
      def unique(value, key)
        Check.refuse("unique", value, "true or false") unless [true, false].include?(value)
        Check.refuse("unique", value, "only without idempotency_key") if value && key
        value || nil
      end

      # @api private
      def word(value)
        return if value.nil?
        return value.to_s if ON_DUPLICATE.include?(value.to_s)

        Check.refuse("on_duplicate", value, ":return or :raise")
      end
    end
  end
end
