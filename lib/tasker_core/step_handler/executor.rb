# frozen_string_literal: true

require_relative "../internal/check"

module TaskerCore
  module StepHandler
    # What a class of handlers says of where they are executed. Every {Base} has it; another class, one of Active Job
    # too, is extended with it.
    #
    # @example
    #   class RenderInvoice < TaskerCore::StepHandler::Base
    #     executor :active_job, queue: "rendering", timeout: 600
    #
    #     def process(task, sequence, step)
    #       { "url" => Invoices.render(task.context["order_id"]) }
    #     end
    #   end
    module Executor
      # Has Active Job execute the steps of this class, and of those below it, wherever its jobs are performed. See
      # docs/active_job.md.
      #
      # @param name [Symbol, String] active_job
      # @param queue [String, Symbol, nil] of Active Job. Default nil: its default queue.
      # @param priority [Integer, nil] of Active Job. Default nil: none.
      # @param timeout [Numeric, nil] seconds until a job that has said nothing counts as lost, at most 365 days.
      #   Default nil: the `timeout_seconds` of the step, else an hour.
      # @return [void]
      # @raise [InvalidArgument]
      def executor(name, queue: nil, priority: nil, timeout: nil)
        Internal::Check.refuse("executor", name, "active_job") unless name.to_s == "active_job"
        @executor_options = { queue: queue&.to_s, priority: priority,
                              timeout: Internal::Check.optional_seconds(timeout, "timeout") }.freeze
      end

      # @api private
      # @return [Hash{Symbol => Object}, nil] queue, priority and timeout; nil: workers execute it
      def executor_options
        @executor_options || (superclass.executor_options if superclass.respond_to?(:executor_options))
      end
    end
  end
end
