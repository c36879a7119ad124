# frozen_string_literal: true

require_relative "../errors"
require_relative "../event"

module TaskerCore
  module Internal
    # Passes events on to what an application has for them: ActiveSupport::Notifications, or a publisher of dry-events.
    class Instrumentation
      # What names end with where many libraries share a notifier.
      SUFFIX = "tasker_core"

      # @param target [#instrument, #publish]
      # @raise [InvalidArgument] it is neither
      # @example
      #   Instrumentation.new(ActiveSupport::Notifications).call(event)
      def initialize(target)
        @target = target
        @instruments = target.respond_to?(:instrument)
        return if @instruments

        refuse unless target.respond_to?(:publish) && target.respond_to?(:register_event)
        Event::NAMES.each { |name| target.register_event(name) }
      end

      # @param event [Event]
      # @return [void]
      def call(event)
        payload = { **event.to_h, event: event }
        @instruments ? @target.instrument("#{event.name}.#{SUFFIX}", payload) : @target.publish(event.name, payload)
      end

      private

      def refuse
        raise InvalidArgument, "events go to ActiveSupport::Notifications or to a publisher of dry-events, which " \
                               "#{@target.inspect.scrub[0, 60]} is not"
      end
    end
  end
end
