# frozen_string_literal: true

require_relative "decision_command"

module TaskerCore
  class CLI
    # `tasker reject`: rejects what a step waits for.
    class Reject < DecisionCommand
      NAME = "reject"
      SUMMARY = "reject what a step waits for"
      DETAILS = <<~TEXT
        The step ends in error, with the code REJECTED and the comment.
        What was decided first counts: a second decision is refused, and one about a step that waits for none. A step
        whose turn has not come may be decided; where its handler is a class of the application, -r loads it.
      TEXT
      EXAMPLES = ["tasker reject 42 manager_approval --by mara --comment 'too expensive'"].freeze
      # What was done, in words.
      DONE = "rejected"

      private

      def decide(client, task_id, step, **decision)
        client.reject(task_id, step, **decision)
      end
    end
  end
end
