# frozen_string_literal: true

require "digest"
require "time"
require_relative "../internal/check"
require_relative "../step/waits"
require_relative "../task_template"
require_relative "execution"

module TaskerCore
  module Jobs
    # Makes tasks of jobs. The template of a job is known by its class and, in the version, by its queue: it is defined
    # when the first such job is enqueued.
    module Enqueuing
      # Namespace of these templates.
      NAMESPACE = "active_job"
      # Version of these templates, followed by the queue.
      VERSION = "1.0.0+"
      # Longest queue that is part of a version as it stands, in bytes.
      LONGEST_QUEUE = 58

      class << self
        # Makes a task of a job. One that is being performed, and enqueues itself, is performed again by its own task.
        #
        # @param job [ActiveJob::Base] gets its provider_job_id, the id of the task
        # @param at [Time, nil] when it is to be performed. Default nil: as soon as possible.
        # @return [void]
        # @raise [InvalidArgument] more than 365 days from now; a priority, or a queue with a name, that is not allowed
        # @raise [Error] as {Client#submit}
        def enqueue(job, at: nil)
          check_time(at)
          priority = priority_of(job)
          return if Execution.current&.again(job, at)

          template = template_of(job)
          job.provider_job_id = TaskerCore.submit(template.name, namespace: NAMESPACE, version: template.version,
                                                                 priority: priority, context: context_of(job, at))
        end

        # @param jobs [Array<ActiveJob::Base>]
        # @return [Integer] how many
        # @raise [Error] as {Client#submit_all}; what was written before stays
        def enqueue_all(jobs)
          jobs.each { |job| check_time(time_of(job)) }
          jobs.group_by { |job| [priority_of(job), template_of(job)] }
              .each { |(priority, template), some| submit_all(template, priority, some) }
          jobs.size
        end

        private

        def submit_all(template, priority, jobs)
          contexts = jobs.map { |job| context_of(job, time_of(job)) }
          task_ids = TaskerCore.submit_all(template.name, namespace: NAMESPACE, version: template.version,
                                                          priority: priority, contexts: contexts)
          jobs.zip(task_ids) do |job, task_id|
            job.provider_job_id = task_id
            job.successfully_enqueued = true if job.respond_to?(:successfully_enqueued=)
          end
        end

        # Seconds before Rails 7.1, a time since.
        def time_of(job)
          job.scheduled_at && Time.at(job.scheduled_at.to_r)
        end

        def context_of(job, time)
          { "job" => job.serialize, "run_at" => time&.utc&.iso8601(6) }.compact
        end

        def check_time(time)
          return if time.nil? || time <= Time.now + Step::Waits::LONGEST

          Internal::Check.refuse("the time of a job", time, "at most 365 days from now")
        end

        def priority_of(job)
          Internal::Check.optional_priority(job.priority) || 0
        end

        def template_of(job)
          name = job.class.name
          queue = job.queue_name.to_s
          version = "#{VERSION}#{identifier(queue)}"
          TaskerCore.registry.find(name, namespace: NAMESPACE, version: version) || define(name, version, queue)
        end

        # A failed job is not tried again unless it says so itself.
        def define(name, version, queue)
          TaskerCore.define(name, namespace: NAMESPACE, version: version, queue: queue,
                                  description: "jobs of the queue #{queue}") do
            step "perform", handler: "TaskerCore::Jobs::Perform", retry_limit: 1
          end
        rescue InvalidTemplate => e
          raise unless e.details["key"] == "queue"

          Internal::Check.refuse("the queue of #{name}", queue, e.details["allowed"])
        end

        # What a version may hold, another one for each queue.
        def identifier(queue)
          text = queue.b.gsub(/[^0-9A-Za-z]/) { |byte| format("-%02x", byte.ord) }
          text.bytesize > LONGEST_QUEUE ? "--#{Digest::SHA256.hexdigest(queue)[0, 40]}" : text
        end
      end
    end
  end
end
