# frozen_string_literal: true

module Tasker
  # Names of states and events. Each group of events has a constant for each of its names: `TaskEvents::COMPLETED` is
  # "task.completed".
  module Constants
    # States that a task may be in, in the ancestor's words; there are others (docs/state_machines.md).
    module TaskStatuses
    end

    # States that a step may be in, in the ancestor's words; there are others (docs/state_machines.md).
    module WorkflowStepStatuses
    end

    # Events of tasks.
    module TaskEvents
    end

    # Events of steps.
    module StepEvents
    end

    # Events of the work on a task.
    module WorkflowEvents
    end

    # Events for whoever observes.
    module ObservabilityEvents
      # About tasks.
      module Task
      end

      # About steps.
      module Step
      end
    end

    # The ancestor's states.
    STATES = %w[pending in_progress complete error cancelled resolved_manually].freeze

    # Group of events => what their names begin with, and the names.
    EVENTS = {
      TaskEvents => ["task", %w[initialize_requested start_requested completed failed retry_requested cancelled
                                resolved_manually before_transition]],
      StepEvents => ["step", %w[initialize_requested execution_requested before_handle handle completed failed
                                retry_requested cancelled resolved_manually before_transition]],
      WorkflowEvents => ["workflow", %w[task_started task_completed task_failed step_completed step_failed
                                        viable_steps_discovered no_viable_steps orchestration_requested
                                        task_finalization_started task_finalization_completed task_reenqueue_started
                                        task_reenqueue_requested task_reenqueue_failed task_reenqueue_delayed
                                        task_state_unclear step_execution_failed viable_steps_batch_ready
                                        steps_execution_started steps_execution_completed]],
      ObservabilityEvents::Task => ["observability.task", %w[handle enqueue finalize]],
      ObservabilityEvents::Step => ["observability.step", %w[handle find_viable backoff skip max_retries_reached]]
    }.freeze

    [TaskStatuses, WorkflowStepStatuses].each do |group|
      STATES.each { |state| group.const_set(state.upcase, state) }
    end
    EVENTS.each do |group, (prefix, names)|
      names.each { |name| group.const_set(name.upcase, "#{prefix}.#{name}".freeze) }
    end

    # Every name of an event.
    EVENT_NAMES = EVENTS.values.flat_map { |prefix, names| names.map { |name| "#{prefix}.#{name}".freeze } }.freeze
  end
end
