# frozen_string_literal: true

require "tasker_core/internal/clock"

module Chaos
  # The machine's clock that never goes back, which is the same in all processes.
  module Clock
    module_function

    # @return [Float] seconds since some point in the past
    def now
      TaskerCore::Internal::Clock.seconds
    end

    # @return [Integer] the same in nanoseconds
    def now_ns
      Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond)
    end
  end
end
