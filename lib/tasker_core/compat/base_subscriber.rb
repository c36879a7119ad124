# frozen_string_literal: true

module Tasker
  module Events
    # Classes that take events.
    module Subscribers
      # A class that takes events: `task.completed` is for its method `handle_task_completed`.
      #
      # @example
      #   class Pager < Tasker::Events::Subscribers::BaseSubscriber
      #     subscribe_to "step.failed"
      #
      #     def handle_step_failed(event)
      #       Page.send("#{event[:step_name]}: #{safe_get(event, :error_message, "no message")}")
      #     end
      #   end
      #   Pager.subscribe(Tasker::Events::Publisher.instance)
      class BaseSubscriber
        class << self
          # @param names [Array<String, Symbol>] of events; `:task_completed` is "task.completed"
          # @return [void]
          def subscribe_to(*names)
            @subscribed_events = [*subscribed_events, *names.map { |name| name_of(name.to_s) }].uniq
          end

          # @return [Array<String>] those of the classes above included
          def subscribed_events
            @subscribed_events || (superclass.respond_to?(:subscribed_events) ? superclass.subscribed_events : [])
          end

          # @yieldparam name [String]
          # @yieldreturn [Boolean] whether the event is wanted
          # @return [void]
          def filter_events(&filter)
            @event_filter = filter
          end

          # @return [Proc, nil]
          def event_filter
            @event_filter || (superclass.event_filter if superclass.respond_to?(:event_filter))
          end

          # @param publisher [Publisher] Default: that of the process.
          # @return [BaseSubscriber] which takes the events
          def subscribe(publisher = Publisher.instance)
            new.tap { |subscriber| subscriber.subscribe_to_publisher(publisher) }
          end

          private

          def name_of(name)
            Constants::EVENT_NAMES.find { |known| known.tr(".", "_") == name } || name
          end
        end

        # An event for which there is no method is logged as a warning.
        #
        # @param publisher [#subscribe]
        # @return [void]
        # @example
        #   Pager.new.subscribe_to_publisher(publisher)
        def subscribe_to_publisher(publisher)
          filter = self.class.event_filter
          names = self.class.subscribed_events.select { |name| filter.nil? || filter.call(name) }
          names.each { |name| subscribe_method(publisher, name, "handle_#{name.tr(".", "_")}") }
        end

        private

        def subscribe_method(publisher, name, handler)
          return publisher.subscribe(name, &method(handler)) if respond_to?(handler, true)

          TaskerCore.configuration.logger.warn { "#{self.class} subscribes to #{name} and has no method #{handler}" }
        end

        def safe_get(event, key, default = nil)
          event.fetch(key.to_sym) { event.fetch(key.to_s, default) }
        end

        def extract_core_attributes(event)
          { task_id: safe_get(event, :task_id), step_id: safe_get(event, :step_id),
            event_timestamp: safe_get(event, :timestamp).to_s }.compact
        end

        def extract_step_attributes(event)
          { **extract_core_attributes(event), step_name: safe_get(event, :step_name) }.compact
        end
      end
    end
  end
end
