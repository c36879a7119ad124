# frozen_string_literal: true

module Tasker
  # Values.
  module Types
    # What a task is made from. Frozen.
    #
    # @example
    #   Tasker::Types::TaskRequest.new(name: "process_order", namespace: "shop", version: "1.0.0",
    #                                  context: { order_id: 7 })
    class TaskRequest
      # Parts that have a default.
      DEFAULTS = { namespace: "default", version: "0.1.0", status: "pending", initiator: "unknown",
                   source_system: "unknown", reason: "unknown", complete: false, tags: [].freeze,
                   bypass_steps: [].freeze, requested_at: nil }.freeze

      # @return [String]
      attr_reader :name, :namespace, :version, :initiator, :source_system, :reason, :status
      # @return [Hash]
      attr_reader :context
      # @return [Array<String>]
      attr_reader :tags, :bypass_steps
      # @return [Boolean]
      attr_reader :complete
      # @return [Time] when the request was made; the task's own time is the database's
      attr_reader :requested_at

      # @param name [String]
      # @param context [Hash]
      # @param parts [Hash{Symbol => Object}] of {DEFAULTS}
      # @raise [TaskerCore::InvalidArgument] steps that are to be left out, or a task that has ended already
      # @raise [ArgumentError] an unknown keyword
      def initialize(name:, context:, **parts)
        TaskerCore::Internal::Check.keywords(parts, DEFAULTS.keys)
        parts = { **DEFAULTS, requested_at: Time.now, **parts.compact, name: name.to_s, context: context }
        parts.each { |part, value| instance_variable_set(:"@#{part}", value) }
        refuse_what_was_without_effect
        freeze
      end

      # @return [Hash{Symbol => Object}]
      def to_h
        [:name, :context, *DEFAULTS.keys].to_h { |key| [key, public_send(key)] }
      end

      private

      def refuse_what_was_without_effect
        unless bypass_steps.empty?
          TaskerCore::Internal::Check.refuse(
            "bypass_steps", bypass_steps, "[]; leave a step out with TaskerCore.skip, or with `when:` in the template"
          )
        end
        return if status == "pending" && !complete

        TaskerCore::Internal::Check.refuse("status", complete ? "complete" : status, "pending: no step has run yet")
      end
    end
  end
end
