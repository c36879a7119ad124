# frozen_string_literal: true

require "active_job"
require "active_job/queue_adapters"
require "tasker_core"

# Rails' own.
module ActiveJob
  # Rails' own.
  module QueueAdapters
    # Has tasker_core perform jobs: each is a task of one step. See docs/active_job.md.
    #
    # @example
    #   Rails.application.config.active_job.queue_adapter = :tasker_core
    class TaskerCoreAdapter
      def initialize
        @stopping = false
        TaskerCore.subscribe("worker.started", "worker.stopping") do |event|
          @stopping = event.name == "worker.stopping"
        end
      end

      # Has a job performed as soon as a worker is free.
      #
      # @param job [ActiveJob::Base]
      # @return [void]
      # @raise [TaskerCore::Error] as {TaskerCore::Client#submit}
      def enqueue(job)
        TaskerCore::Jobs::Enqueuing.enqueue(job)
      end

      # Has a job performed at a time.
      #
      # @param job [ActiveJob::Base]
      # @param timestamp [Numeric] seconds since 1970, at most 365 days from now
      # @return [void]
      # @raise [TaskerCore::Error] as {TaskerCore::Client#submit}
      def enqueue_at(job, timestamp)
        TaskerCore::Jobs::Enqueuing.enqueue(job, at: Time.at(timestamp))
      end

      # Has many jobs performed: those of one class and queue are written together, all or none.
      #
      # @param jobs [Array<ActiveJob::Base>]
      # @return [Integer] how many were enqueued
      # @raise [TaskerCore::Error] as {TaskerCore::Client#submit_all}
      def enqueue_all(jobs)
        TaskerCore::Jobs::Enqueuing.enqueue_all(jobs)
      end

      # Whether Rails 7.2 has jobs wait for the end of a transaction. Not where they are written in it.
      #
      # @return [Boolean]
      def enqueue_after_transaction_commit?
        TaskerCore.configuration.transaction_connection.nil?
      end

      # Whether a worker of this process was told to stop: jobs that can go on elsewhere end at their next checkpoint.
      #
      # @param _job [ActiveJob::Base, nil]
      # @return [Boolean]
      def stopping?(_job = nil)
        @stopping
      end
    end
  end
end
