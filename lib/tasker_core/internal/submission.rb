# frozen_string_literal: true

require "json"
require_relative "../errors"
require_relative "check"
require_relative "identity"
require_relative "json_text"

module TaskerCore
  module Internal
    # A request for tasks of one template, checked as far as that is possible without knowing the template.
    class Submission
      # Option => default.
      DEFAULTS = { namespace: "default", version: nil, initiator: nil, source_system: nil, reason: nil,
                   tags: [].freeze, deadline: nil, budget: nil, idempotency_key: nil, unique: false, unique_for: nil,
                   on_duplicate: nil, correlation_key: nil, priority: nil }.freeze
      # Longest time from a submit to its deadline, in seconds: 366 days.
      LONGEST_DEADLINE = 366 * 86_400
      # Options that are text or nil.
      TEXTS = %i[version initiator source_system reason].freeze
      # What else {Client#submit} and {Client#submit_all} take.
      BESIDE = %i[context contexts connection after_commit].freeze
      private_constant :BESIDE

      # @return [String]
      attr_reader :name, :namespace
      # @return [String, nil] nil: the highest
      attr_reader :version
      # @return [Array<String>] JSON
      attr_reader :contexts
      # @return [Hash{Symbol => Object}] as they were given
      attr_reader :options

      # @param name [String]
      # @param contexts [Array<Hash>]
      # @param options [Hash{Symbol => Object}] keys of {DEFAULTS}
      # @raise [InvalidArgument] an unknown option, or a value that is not allowed
      # @raise [InvalidContext] a context is no Hash, or holds what JSON cannot say
      def initialize(name, contexts, **options)
        Check.keywords(options, DEFAULTS.keys, BESIDE)
        @options = options
        options = DEFAULTS.merge(options)
        @name = Check.text(name, "name")
        @namespace = Check.text(options[:namespace], "namespace")
        @texts = options.slice(*TEXTS).to_h { |key, value| [key, Check.optional_text(value, key.to_s)] }
        @version = @texts.delete(:version)
        @tags = Check.texts(options[:tags], "tags")
        @deadline = { "deadline_s" => Check.optional_span(options[:deadline], "deadline", LONGEST_DEADLINE) }.compact
        @more = more(**options.slice(:budget, :correlation_key, :priority))
        @contexts = contexts_json(contexts)
        @identity = identity(options)
      end

      # @return [Boolean] whether it asks for no task at all
      def empty?
        @contexts.empty?
      end

      # @param version [String, nil] the version that is used when the request names none
      # @param current_attributes [String, nil] JSON, see {CurrentAttributes}
      # @return [String] what the native client takes
      # @example
      #   submission.json(version: "1.0.0")
      def json(version: nil, current_attributes: nil)
        head = JSON.generate({ "namespace" => namespace, "name" => name, "version" => self.version || version,
                               **@texts, "tags" => @tags, **@deadline, **@more, **@identity })
        current = "\"current_attributes\":#{current_attributes}," if current_attributes
        "#{head.chop},#{current}\"contexts\":[#{@contexts.join(",")}]}"
      end

      private

      def more(budget:, correlation_key:, priority:)
        { "budget" => budget && Check.budget(budget), "priority" => Check.optional_priority(priority),
          "correlation_key" => Check.optional_text(correlation_key, "correlation_key") }.compact
      end

      def identity(options)
        identity = Identity.of(**options.slice(*Identity::OPTIONS))
        return identity if identity.empty? || @contexts.size == 1

        Check.refuse("contexts.size", @contexts.size,
                     "1, with idempotency_key or unique; submit each task by itself")
      end

      def contexts_json(contexts)
        Check.refuse("contexts", contexts, "an array of hashes") unless contexts.is_a?(Array)
        writer = JsonText.new(records: true)
        contexts.each_with_index.map do |context, index|
          what = contexts.size == 1 ? "context" : "contexts[#{index}]"
          check_hash(context, what)
          writer.generate(context, what: what)
        end
      end

      def check_hash(context, what)
        return if context.is_a?(Hash)

        raise InvalidContext.new("#{what} is of class #{context.class}, allowed: a Hash",
                                 details: { "key" => what, "value" => context.class.to_s, "allowed" => "a Hash" })
      end
    end
  end
end
