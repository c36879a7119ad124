# frozen_string_literal: true

module Tasker
  # What handlers can include.
  module Concerns
    # Telling events of the application's own.
    module EventPublisher
      # @param name [String, Symbol]
      # @param payload [Hash{Symbol => Object}] Default {}.
      # @return [void]
      # @example
      #   publish_custom_event("order.fulfilled", order_id: 7)
      def publish_custom_event(name, payload = {})
        Events::Publisher.instance.publish(name, payload)
      end
    end
  end

  # Classes from which handlers descend.
  module StepHandler
    # What the ancestor's handlers have beside `process` and `process_results`.
    module Ancestry
      include Concerns::EventPublisher

      # What their classes have.
      module ClassMethods
        # A handler without a config of its step's has the one that its own `initialize` says.
        #
        # @param config [Hash, Api::Config, nil]
        # @return [Base, Api]
        def new(*arguments, config: nil, **options, &block)
          options[:config] = config unless config.nil? || config == {}
          super(*arguments, **options, &block)
        end

        # @return [Array<Hash>] events of its own, which need not be declared
        def custom_event_configuration
          []
        end
      end

      # @param base [Class]
      # @return [void]
      # @api private
      def self.included(base)
        super
        base.extend(ClassMethods)
      end

      # Does what a worker does, for tests of handlers.
      #
      # @param task [Object]
      # @param sequence [Object]
      # @param step [Object]
      # @return [void]
      # @example
      #   ChargeCard.new.handle(task, sequence, step)
      def handle(task, sequence, step)
        initial = step.results
        process_results(step, process(task, sequence, step), initial)
      end
    end

    # A handler.
    #
    # @example
    #   class ChargeCard < Tasker::StepHandler::Base
    #     def process(task, sequence, step)
    #       { charged: sequence.find_step_by_name("total").results["total"] }
    #     end
    #   end
    class Base < TaskerCore::StepHandler::Base
      include Ancestry
    end
  end
end
