# frozen_string_literal: true

require "active_job"
require_relative "remote_attempt"

module TaskerCore
  module Jobs
    # The job that executes a step which a worker has handed to Active Job. Its queue adapter is that of all jobs,
    # unless it is given another.
    #
    # @example tasker_core performs the plain jobs, Sidekiq executes the steps
    #   ActiveJob::Base.queue_adapter = :tasker_core
    #   TaskerCore::Jobs::StepJob.queue_adapter = :sidekiq
    class StepJob < ::ActiveJob::Base
      # Contexts and results are no business of the log.
      self.log_arguments = false if respond_to?(:log_arguments=)

      # @param item [Array] what {Handover} hands over
      # @param head [String] what the template says of all steps, as JSON
      # @param definition [String] the step in the template, as JSON
      # @return [void]
      # @raise [Error] the outcome cannot be told
      def perform(item, head, definition)
        RemoteAttempt.new(item, head, definition).execute
      end
    end
  end
end
