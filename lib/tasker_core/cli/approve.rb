# frozen_string_literal: true

require_relative "decision_command"

module TaskerCore
  class CLI
    # `tasker approve`: approves what a step waits for.
    class Approve < DecisionCommand
      NAME = "approve"
      SUMMARY = "approve what a step waits for"
      EXAMPLES = ["tasker approve 42 manager_approval --by mara --comment 'within budget'"].freeze
      # What was done, in words.
      DONE = "approved"
    end
  end
end
