# frozen_string_literal: true

require_relative "decision_command"

module TaskerCore
  class CLI
    # `tasker approve`: approves what a step waits for.
    class Approve < DecisionCommand
      NAME = "approve"
      SUMMARY = "approve what a step waits for"
      DETAILS = <<~TEXT
        The step is complete; its results say who approved it, when and with which comment.
        What was decided first counts: a second decision is refused, and one about a step that waits for none. A step
        whose turn has not come may be decided; where its handler is a class of the application, -r loads it.
      TEXT
      EXAMPLES = ["tasker approve 42 manager_approval --by mara --comment 'within budget'"].freeze
      # What was done, in words.
      DONE = "approved"

      private

      def decide(client, task_id, step, **decision)
        client.approve(task_id, step, **decision)
      end
    end
  end
end
