# frozen_string_literal: true

require "singleton"
require_relative "event_parts"

module Tasker
  module Events
    # Tells subscribers in this process what its workers commit, by the ancestor's names of events, and passes on the
    # application's own events.
    #
    # @example
    #   Tasker::Events::Publisher.instance.subscribe("task.completed") { |event| puts event[:task_id] }
    class Publisher
      include Singleton

      # What ends an attempt as a failure.
      FAILURES = %w[step.retry_scheduled step.failed_permanently step.retries_exhausted step.not_retryable
                    step.needs_intervention step.timed_out step.worker_died step.crashes_exhausted
                    step.budget_exhausted step.items_failed step.item_given_up].freeze
      # The ancestor's name => names of the engine's events that it stands for.
      SOURCES = {
        "task.start_requested" => %w[task.started], "workflow.task_started" => %w[task.started],
        "task.completed" => %w[task.completed], "workflow.task_completed" => %w[task.completed],
        "task.failed" => %w[task.failed task.budget_exhausted],
        "workflow.task_failed" => %w[task.failed task.budget_exhausted],
        "task.cancelled" => %w[task.cancelled task.deadline_passed], "task.retry_requested" => %w[task.resumed],
        "step.execution_requested" => %w[step.claimed], "step.before_handle" => %w[step.claimed],
        "step.handle" => %w[step.claimed], "observability.step.handle" => %w[step.claimed],
        "step.completed" => %w[step.succeeded step.items_done],
        "workflow.step_completed" => %w[step.succeeded step.items_done],
        "step.failed" => FAILURES, "workflow.step_failed" => FAILURES,
        "step.retry_requested" => %w[step.retry_scheduled step.retried step.items_retried],
        "step.cancelled" => %w[step.cancelled], "step.resolved_manually" => %w[step.resolved_manually],
        "observability.step.skip" => %w[step.skipped],
        "observability.step.max_retries_reached" => %w[step.retries_exhausted step.crashes_exhausted]
      }.freeze
      # Where not every event of these names is meant: the state that it has to lead out of.
      FROM = { "task.retry_requested" => "error" }.freeze
      # What the ancestor puts before the names of the application's own events.
      CUSTOM = "custom."
      # First words of names that are the engine's.
      RESERVED = %w[task step workflow observability].freeze

      def initialize
        @lock = Mutex.new
        @own = {}
      end

      # Has the block called with each event of a name.
      #
      # @param name [String, Symbol] one of {Constants::EVENT_NAMES}, or of the application's own, with or without
      #   "custom." in front
      # @yieldparam event [Event]
      # @return [TaskerCore::Subscription, Array, nil] for {#unsubscribe}; nil: the engine never tells this event
      # @raise [TaskerCore::InvalidArgument] no such event
      # @example
      #   publisher.subscribe("step.failed") { |event| warn(event[:error_message]) }
      def subscribe(name, &block)
        name = name.to_s
        return subscribe_own(name.delete_prefix(CUSTOM), block) unless RESERVED.include?(name[/\A[^.]*/])
        return subscribe_engine(name, block) if SOURCES.key?(name)

        refuse(name) unless Constants::EVENT_NAMES.include?(name)
        TaskerCore.configuration.logger.warn { "there is no event #{name} any more: see docs/compat.md" }
        nil
      end

      # @param subscription [Object] what {#subscribe} returned
      # @return [void]
      def unsubscribe(subscription)
        return TaskerCore.unsubscribe(subscription) if subscription.is_a?(TaskerCore::Subscription)

        name, block = subscription
        change_own(name) { |blocks| blocks.reject { |other| other.equal?(block) } }
      end

      # Tells one of the application's own events, before it returns. A subscriber that fails is logged.
      #
      # @param name [String, Symbol] with or without "custom." in front
      # @param payload [Hash{Symbol => Object}] Default {}.
      # @return [void]
      # @raise [TaskerCore::InvalidArgument] the engine's events are told by itself
      # @example
      #   publisher.publish("order.fulfilled", { order_id: 7 })
      def publish(name, payload = {})
        name = name.to_s.delete_prefix(CUSTOM)
        refuse_reserved(name)
        event = Event.new(name, payload.transform_keys(&:to_sym))
        @own.fetch(name, []).each { |block| tell(block, event) }
      end

      private

      def subscribe_engine(name, block)
        TaskerCore.subscribe(*SOURCES.fetch(name)) do |event|
          block.call(EventParts.event(name, event)) if FROM.fetch(name, event.from) == event.from
        end
      end

      def subscribe_own(name, block)
        change_own(name) { |blocks| [*blocks, block] }
        [name, block].freeze
      end

      def change_own(name)
        @lock.synchronize { @own = @own.merge(name => yield(@own.fetch(name, []))).freeze }
      end

      def tell(block, event)
        block.call(event)
      rescue StandardError => e
        TaskerCore.configuration.logger.error { "a subscriber of #{event.id} failed: #{e.class}: #{e.message}" }
      end

      def refuse_reserved(name)
        return unless RESERVED.include?(name[/\A[^.]*/])

        raise TaskerCore::InvalidArgument, "the event #{name} is told by the engine itself; events of your own begin " \
                                           "with another word than #{RESERVED.join(", ")}"
      end

      def refuse(name)
        known = Constants::EVENT_NAMES
        raise TaskerCore::InvalidArgument,
              "there is no event #{name}#{TaskerCore::Internal::Suggestion.sentence(name, known)}"
      end
    end
  end
end
