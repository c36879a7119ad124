# frozen_string_literal: true

require_relative "base"
require_relative "errors"

module TaskerCore
  module StepHandler
    # A step that waits for a person's decision: the signal of the step's name, as {TaskerCore.approve} and
    # {TaskerCore.reject} send it. Its results say who approved, when and with which comment; a rejection ends it in
    # error. `timeout` in its config says how many seconds it waits, default for ever.
    #
    # @example
    #   TaskerCore.define("purchase") do
    #     step "manager_approval", handler: TaskerCore::StepHandler::Approval, config: { timeout: 3 * 86_400 }
    #     step "order", handler: Order, depends_on: "manager_approval"
    #   end
    #   TaskerCore.approve(task_id, "manager_approval", by: "mara", comment: "within budget")
    class Approval < Base
      # @param _task [Task]
      # @param _sequence [Sequence]
      # @param step [Step]
      # @return [Hash{String => Object}] approved (true), by, at, comment
      # @raise [PermanentError] it was rejected, with the code "REJECTED"
      # @raise [SignalTimeout] nobody decided in time
      # @example
      #   sequence.results_of("manager_approval")["by"] # => "mara"
      def process(_task, _sequence, step)
        payload = step.wait_for(step.name, timeout: step.config["timeout"])
        answer = payload.is_a?(Hash) ? payload : {}
        signal = step.signal(step.name)
        decision = { "approved" => answer["approved"] == true, "by" => answer["by"] || signal.actor,
                     "at" => signal.sent_at.iso8601(6), "comment" => answer["comment"] }
        decision["approved"] ? decision : raise(rejection(decision))
      end

      private

      def rejection(decision)
        because = decision["comment"] && ": #{decision["comment"]}"
        PermanentError.new("rejected by #{decision["by"]}#{because}", error_code: "REJECTED", context: decision)
      end
    end
  end
end
