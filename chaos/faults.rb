# frozen_string_literal: true

require_relative "faults/database"
require_relative "faults/network"
require_relative "faults/processes"

module Chaos
  # What can go wrong.
  module Faults
    # Name => class.
    ALL = { "kill" => Kill, "stop" => Stop, "term" => Term, "clock" => Clock, "restart" => Restart,
            "terminate" => Terminate, "errors" => Errors, "locks" => Locks, "cut" => Cut,
            "cut_before_commit" => CutBeforeCommit, "cut_after_commit" => CutAfterCommit, "delay" => Delay,
            "silence" => Silence, "partition" => Partition, "isolation" => Isolation }.freeze

    module_function

    # @return [Hash{String => String}] why some of them cannot happen on this machine
    def missing
      ALL.transform_values(&:missing).compact
    end
  end
end
