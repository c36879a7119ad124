# frozen_string_literal: true

require "rspec/matchers"
require_relative "checks"
require_relative "circuit_breakers"

module TaskerCore
  module Testing
    # Matchers of RSpec. In all examples once `tasker_core/testing` is loaded after RSpec.
    #
    # @example
    #   expect(task_id).to complete.with_results("ship" => { "tracking" => "T-1" })
    #   expect(task_id).to have_run_steps("charge_card", "ship").in_order
    #   expect(task_id).to retry_step("charge_card").times(2)
    #   expect(task_id).to be_waiting_for(:signal, "approved")
    #   expect { order.place! }.to have_enqueued_task("order_fulfilment").with(context: { order_id: 7 })
    module Matchers
      # What all have in common.
      class Matcher
        include RSpec::Matchers::Composable

        # @param check [Class] one of {Checks}
        def initialize(check, *arguments, **options)
          @check = check
          @arguments = arguments
          @options = options
        end

        # @api private
        def matches?(actual)
          judge(actual)
        end

        # @return [String]
        def description
          made.description
        end

        # @api private
        def failure_message
          @fault
        end

        # @api private
        def failure_message_when_negated
          "expected it not to #{description}\n#{@seen}"
        end

        private

        # What was seen is told where it was not to be.
        def judge(*actual, &block)
          check = made
          @fault = check.fault(*actual, &block)
          @seen = check.seen(*actual) if @fault.nil?
          @fault.nil?
        end

        def made
          @options.empty? ? @check.new(*@arguments) : @check.new(*@arguments, **@options)
        end

        def with_options(**options)
          self.class.new(@check, *@arguments, **@options, **options)
        end
      end

      # Of {#complete}.
      class CompleteMatcher < Matcher
        # @param results [Hash{String, Symbol => Object}] what steps returned
        # @return [CompleteMatcher]
        def with_results(results)
          self.class.new(@check, results)
        end
      end

      # Of {#have_run_steps}.
      class RunMatcher < Matcher
        # They began in this order, in their last attempts.
        #
        # @return [RunMatcher]
        def in_order
          with_options(in_order: true)
        end

        # No other step ran.
        #
        # @return [RunMatcher]
        def only
          with_options(only: true)
        end
      end

      # Of {#retry_step} and {#have_enqueued_task}.
      class CountedMatcher < Matcher
        # @param count [Integer]
        # @return [CountedMatcher]
        def times(count)
          with_options(times: count)
        end
      end

      # Of {#have_enqueued_task}.
      class EnqueuedMatcher < CountedMatcher
        # @param context [Hash, #===]
        # @return [EnqueuedMatcher]
        def with(context:)
          with_options(context: context)
        end

        # @api private
        def matches?(block)
          judge(&block)
        end

        # @api private
        def supports_value_expectations?
          false
        end

        # @api private
        def supports_block_expectations?
          true
        end
      end

      # @return [CompleteMatcher] the task is complete
      def complete
        CompleteMatcher.new(Checks::Complete)
      end

      # @param names [Array<String, Symbol>]
      # @return [RunMatcher] these steps were executed
      def have_run_steps(*names) # rubocop:disable Naming/PredicateName -- as RSpec's own
        RunMatcher.new(Checks::RunSteps, names)
      end

      # @param name [String, Symbol]
      # @return [CountedMatcher] the step was tried again
      def retry_step(name)
        CountedMatcher.new(Checks::RetryStep, name)
      end

      # @param kind [Symbol] :signal, :time or :person
      # @param name [String, Symbol, nil] of the signal. Default nil: any.
      # @return [Matcher] a step waits for it
      def be_waiting_for(kind, name = nil)
        Matcher.new(Checks::WaitingFor, kind, name)
      end

      # @param name [String, Symbol] of the template
      # @return [EnqueuedMatcher] the block submits tasks of it
      def have_enqueued_task(name) # rubocop:disable Naming/PredicateName -- as RSpec's own
        EnqueuedMatcher.new(Checks::Enqueued, name)
      end
    end
  end
end

RSpec.configure do |config|
  config.include TaskerCore::Testing::Matchers
  config.after { TaskerCore::Testing::CircuitBreakers.reset }
end
