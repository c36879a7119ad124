# frozen_string_literal: true

require_relative "base"

module TaskerCore
  module StepHandler
    # A step that runs another workflow, as the key `workflow` of its template says; its results are those of that
    # workflow's last steps by name. Executes the steps that name no handler of their own. A subclass can make the
    # context.
    #
    # @example
    #   class Bill < TaskerCore::StepHandler::Workflow
    #     def context(task, sequence, _step)
    #       { order_id: task.context["order_id"], total: sequence.results_of("validate_order")["total"] }
    #     end
    #   end
    class Workflow < Base
      # @param task [Task]
      # @param sequence [Sequence]
      # @param step [Step]
      # @return [Hash{String => Object}]
      # @raise [WorkflowFailed] the task ended in error or was cancelled
      def process(task, sequence, step)
        step.run_workflow(context: context(task, sequence, step))
      end

      # What the task of the other workflow is submitted with. To be defined by a handler that makes it.
      #
      # @param _task [Task]
      # @param _sequence [Sequence]
      # @param _step [Step]
      # @return [Hash, nil] nil: as the template says
      def context(_task, _sequence, _step)
        nil
      end
    end
  end
end
