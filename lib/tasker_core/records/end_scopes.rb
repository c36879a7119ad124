# frozen_string_literal: true

module TaskerCore
  module Records
    # What {Task} and {Attempt} can be asked for, which end.
    module EndScopes
      # @param time [Time]
      # @return [ActiveRecord::Relation] those that ended then or later
      # @raise [InvalidArgument] no Time
      # @example
      #   Task.finished_after(1.hour.ago).group(:state).count
      def finished_after(time)
        from_time(:finished_at, time)
      end

      # @param time [Time]
      # @return [ActiveRecord::Relation] those that ended before
      # @raise [InvalidArgument] no Time
      # @example
      #   Attempt.finished_before(1.hour.ago).average(:execution_ms)
      def finished_before(time)
        before_time(:finished_at, time)
      end
    end
  end
end
