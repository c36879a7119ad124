# frozen_string_literal: true

require_relative "errors"
require_relative "executor"

module TaskerCore
  # Classes from which handlers descend.
  module StepHandler
    # A handler executes one step. An object is made for each attempt. Inside the handler, instance variables belong
    # to that attempt alone; what must survive is returned, and read by later steps with `sequence.results_of`.
    #
    # A step may be executed more than once (a machine may die between the work and its record), so pass
    # `step.idempotency_key` to systems that understand one.
    #
    # @example
    #   class ChargeCard < TaskerCore::StepHandler::Base
    #     def process(task, sequence, step)
    #       total = sequence.results_of("validate_order").fetch("total")
    #       payment = Payments.charge(task.context["card"], total, key: step.idempotency_key)
    #       { "payment_id" => payment.id }
    #     rescue Payments::RateLimited => e
    #       raise TaskerCore::RetryableError.new("rate limited", retry_after: e.retry_after)
    #     end
    #   end
    class Base
      extend Executor

      class << self
        # Whether {#process} and {#process_results} are executed in a transaction of the application's that records the
        # end of the attempt as well: what they do in the database happens once, or the attempt did not complete. A
        # subclass is as its superclass is. See docs/transactions.md.
        #
        # @return [Boolean] Default false.
        # @example
        #   class Transfer < TaskerCore::StepHandler::Base
        #     self.transactional = true
        #   end
        attr_writer :transactional

        # @return [Boolean] see {.transactional=}
        def transactional?
          return @transactional ? true : false if instance_variable_defined?(:@transactional)

          superclass.respond_to?(:transactional?) && superclass.transactional?
        end
      end

      # @return [Hash{String => Object}, nil] the step's `handler_config`, frozen; nil where a subclass's own
      #   initialize does not pass it on (`step.config` has it all the same)
      attr_reader :config

      # @param config [Hash{String => Object}, nil]
      def initialize(config: nil)
        @config = config
      end

      # The work. To be defined by every handler.
      #
      # @param task [Task]
      # @param sequence [Sequence] the task's other steps
      # @param step [Step]
      # @return [Object] the output: nil, true, false, numbers, text, symbols, arrays and hashes of these
      # @raise [RetryableError] try again, as any other StandardError does
      # @raise [PermanentError] another attempt cannot succeed
      # @raise [BlockedError] a person or an outside event is needed
      def process(task, sequence, step)
        raise NotImplementedError, "#{self.class} must define process(task, sequence, step)"
      end

      # Turns the output into `step.results`, which is what is kept. Unless overridden, the results are the output,
      # or what {#process} assigned to `step.results` itself.
      #
      # @param step [Step]
      # @param output [Object] what {#process} returned
      # @param initial [Object, nil] `step.results` before {#process}
      # @return [void]
      # @example keep a part only
      #   def process_results(step, output, _initial)
      #     step.results = output.slice("payment_id")
      #   end
      def process_results(step, output, initial)
        step.results = output if step.results.equal?(initial)
      end
    end
  end
end
