# frozen_string_literal: true

module Tasker
  module Events
    # The parts of the engine's events by the ancestor's names.
    module EventParts
      # States of steps that are over.
      OVER = %w[complete resolved_manually error skipped cancelled].freeze

      module_function

      # @param id [String] the ancestor's name of the event
      # @param event [TaskerCore::Event]
      # @return [Event]
      # @example
      #   EventParts.event("step.completed", event)[:step_name] # => "charge_card"
      def event(id, event)
        known = { task_id: event.task_id, event_type: id, timestamp: event.at }
        return Event.new(id, { **known, **of_task(event) }) { task_details(event) } unless event.step?

        known = { **known, step_id: event.step_id, step_name: event.step_name, attempt_number: event.attempt }
        Event.new(id, known) { step_details(event) }
      end

      # @api private
      def of_task(event)
        { task_name: event.template&.name, task_type: event.template&.name }
      end

      # @api private
      def task_details(event)
        status = TaskerCore.status(event.task_id)
        took = status.finished_at - status.started_at if status.finished_at && status.started_at
        { started_at: status.started_at, completed_at: status.finished_at, total_execution_duration: took,
          **counts(status), **(event.to == "error" ? errors(event.task_id) : {}) }
      end

      # @api private
      def counts(status)
        by_state = status.steps_by_state
        { total_steps: status.steps_total, failed_steps: by_state.fetch("error", 0),
          completed_steps: by_state.slice("complete", "resolved_manually").values.sum,
          pending_steps: by_state.except(*OVER).values.sum }
      end

      # @api private
      def errors(task_id)
        failed = TaskerCore.result(task_id).steps.select { |step| step.state == "error" }
        { error_steps: failed.map(&:name),
          error_message: failed.map { |step| "#{step.name}: #{step.error&.fetch("message", nil)}" }.join("; ") }
      end

      # @api private
      def step_details(event)
        step = TaskerCore.result(event.task_id, step: event.step_name).step(event.step_name)
        { started_at: step.started_at, completed_at: step.finished_at, step_results: step.results,
          step_dependencies: step.depends_on, execution_duration: step.execution_ms&.fdiv(1_000),
          previous_attempts: [event.attempt - 1, 0].max, **failure(step.error || {}) }
      end

      # @api private
      def failure(error)
        { error_message: error["message"], exception_class: error["class"], backtrace: error["backtrace"] }
      end
    end
  end
end
