# frozen_string_literal: true

module TaskerCore
  module Internal
    # A clock that never goes back, for deadlines and durations.
    module Clock
      module_function

      # @return [Float] seconds since some point in the past
      # @example
      #   deadline = Clock.seconds + 5
      def seconds
        Process.clock_gettime(Process::CLOCK_MONOTONIC)
      end
    end
  end
end
