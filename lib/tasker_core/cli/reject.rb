# frozen_string_literal: true

require_relative "decision_command"

module TaskerCore
  class CLI
    # `tasker reject`: rejects what a step waits for.
    class Reject < DecisionCommand
      NAME = "reject"
      SUMMARY = "reject what a step waits for"
      EXAMPLES = ["tasker reject 42 manager_approval --by mara --comment 'too expensive'"].freeze
      # What was done, in words.
      DONE = "rejected"
    end
  end
end
