# frozen_string_literal: true

require_relative "../testing"
require_relative "checks"

module TaskerCore
  module Testing
    # Assertions for Minitest and whatever else has `assert` and `refute`; `require "tasker_core/testing/assertions"`.
    #
    # @example
    #   class CheckoutTest < Minitest::Test
    #     include TaskerCore::Testing::Assertions
    #
    #     def test_ships
    #       task_id = TaskerCore::Testing.run("order_fulfilment", context: { order_id: 7 }).task_id
    #       assert_task_complete task_id, "ship" => { "tracking" => "T-1" }
    #     end
    #   end
    module Assertions
      # @param task [Integer, #task_id]
      # @param results [Hash{String, Symbol => Object}] what steps returned. Default {}.
      def assert_task_complete(task, results = {})
        assert_no_fault(Checks::Complete.new(results).fault(task))
      end

      # @param task [Integer, #task_id]
      # @param names [Array<String, Symbol>]
      # @param in_order [Boolean] they began in this order, in their last attempts. Default false.
      # @param only [Boolean] no other step ran. Default false.
      def assert_steps_run(task, *names, in_order: false, only: false)
        assert_no_fault(Checks::RunSteps.new(names, in_order: in_order, only: only).fault(task))
      end

      # @param task [Integer, #task_id]
      # @param name [String, Symbol]
      # @param times [Integer, nil] Default nil: at all.
      def assert_step_retried(task, name, times: nil)
        assert_no_fault(Checks::RetryStep.new(name, times: times).fault(task))
      end

      # @param task [Integer, #task_id]
      # @param kind [Symbol] :signal, :time or :person
      # @param name [String, Symbol, nil] of the signal. Default nil: any.
      def assert_waiting_for(task, kind, name = nil)
        assert_no_fault(Checks::WaitingFor.new(kind, name).fault(task))
      end

      # @param name [String, Symbol] of the template
      # @param context [Hash, #===, nil] Default nil: any.
      # @param times [Integer, nil] Default nil: at least once.
      # @yield what is to submit them
      def assert_enqueued_task(name, context: nil, times: nil, &block)
        assert_no_fault(Checks::Enqueued.new(name, context: context, times: times).fault(&block))
      end

      # Minitest calls it after each test.
      #
      # @api private
      def after_teardown
        CircuitBreakers.reset
        super if defined?(super)
      end

      private

      def assert_no_fault(fault)
        assert(fault.nil?, fault)
      end
    end
  end
end
