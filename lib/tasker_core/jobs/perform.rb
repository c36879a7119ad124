# frozen_string_literal: true

require "json"
require "time"
require_relative "../handler_registry"
require_relative "../step_handler/base"
require_relative "execution"

module TaskerCore
  module Jobs
    # Performs the job that its task was made of. The step waits for the job's time, and for that at which the job asks
    # to be performed again.
    class Perform < StepHandler::Base
      # @param task [Task]
      # @param _sequence [Sequence]
      # @param step [Step]
      # @return [nil] what a job returns is not kept
      # @raise [HandlerNotFound] this process has no such class of jobs
      # @raise [StandardError] what the job raises, and does not handle
      def process(task, _sequence, step)
        due = task.context["run_at"]
        step.sleep_until(Time.iso8601(due)) if due && step.waits.zero?

        job_data = job_data_of(task, step)
        HandlerRegistry.resolve(job_data["job_class"])
        execution = Execution.during(Execution.new(job_data)) { ::ActiveJob::Base.execute(job_data) }
        perform_again(execution, task, step) if execution.job_data
      end

      private

      # Jobs may change what they are given.
      def job_data_of(task, step)
        changed = step.data ? step.data["job"] : {}
        given = { **task.context["job"], **changed, "provider_job_id" => task.task_id }
        JSON.parse(JSON.generate(given, max_nesting: false), max_nesting: false)
      end

      # Only what has changed is kept once more.
      def perform_again(execution, task, step)
        before = task.context["job"]
        changed = execution.job_data.reject { |key, value| before.key?(key) && before[key] == value }
        seconds = execution.at ? [execution.at - Time.now, 0.0].max : 0.0
        step.sleep_for(seconds, data: { "job" => changed.except("provider_job_id") })
      end
    end
  end
end
