# frozen_string_literal: true

require_relative "../internal/borrowed_connection"

module TaskerCore
  module Jobs
    # A job that is being performed by a worker. What it asks of the adapter for itself, which is what `retry_on` does,
    # becomes of its task when the attempt ends.
    class Execution
      # Where the one of this thread is.
      KEY = :tasker_core_job_execution
      private_constant :KEY

      class << self
        # @return [Execution, nil]
        def current
          Thread.current[KEY]
        end

        # Makes it the current one during the block.
        #
        # @param execution [Execution]
        # @return [Execution]
        def during(execution)
          before = current
          Thread.current[KEY] = execution
          yield
          execution
        ensure
          Thread.current[KEY] = before
        end
      end

      # @return [Hash{String => Object}, nil] the job as it is to be performed again; nil where it is not
      attr_reader :job_data
      # @return [Time, nil] when; nil: as soon as possible
      attr_reader :at

      # @param job_data [Hash{String => Object}] the job as it is performed
      def initialize(job_data)
        @job_id, @queue, priority = job_data.values_at("job_id", "queue_name", "priority")
        @priority = priority || 0
        @job_data = @at = nil
        @around = open_transactions
      end

      # Takes a job over that is to be performed again, once. Not with another queue or priority, nor where that is part
      # of a transaction that the job has opened: one around the whole job, as that of a test, is no matter of the
      # job's.
      #
      # @param job [ActiveJob::Base]
      # @param at [Time, nil]
      # @return [Boolean] false: a task is to be made of it
      def again(job, at)
        return false unless @job_data.nil? && job.job_id == @job_id
        return false unless [job.queue_name.to_s, job.priority || 0] == [@queue, @priority]
        return false if open_transactions > @around

        @at = at
        @job_data = job.serialize
        true
      end

      private

      # Of the application's, one in another. A PG::Connection does not say how many there are.
      def open_transactions
        connection = TaskerCore.configuration.transaction_connection&.call
        return 0 unless connection
        return connection.open_transactions if connection.respond_to?(:open_transactions)

        Internal::BorrowedConnection.new(connection).raw.transaction_status == PG::PQTRANS_IDLE ? 0 : 1
      end
    end
  end
end
