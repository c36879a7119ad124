# frozen_string_literal: true

module TaskerCore
  module Records
    # A change of the state of a task, or of a step, as the view `tasker_transition_overview` has it. `transition_id`
    # numbers both: one that follows from another has the higher number. Associations: `task` and `step`, which is nil
    # for a change of the task's state, and where the step is retired.
    #
    # @example
    #   Task.find(42).transitions.map { |change| [change.step_name, change.from_state, change.to_state, change.event] }
    class Transition < Base
      extend TemplateScopes
      extend StepScopes

      self.table_name = "tasker_transition_overview"
      self.primary_key = "transition_id"

      belongs_to :task, class_name: "TaskerCore::Records::Task", inverse_of: :transitions
      belongs_to :step, class_name: "TaskerCore::Records::Step", optional: true, inverse_of: :transitions

      class << self
        # @return [ActiveRecord::Relation] changes of the states of tasks alone
        # @example
        #   Transition.of_tasks.where(to_state: "error")
        def of_tasks
          where(step_id: nil)
        end

        # @return [ActiveRecord::Relation] changes of the states of steps alone
        # @example
        #   Transition.of_steps.where(event: "worker_died")
        def of_steps
          where.not(step_id: nil)
        end

        # @param time [Time]
        # @return [ActiveRecord::Relation] changes of then or later
        # @raise [InvalidArgument] no Time
        # @example
        #   Transition.created_after(1.hour.ago).group(:event).count
        def created_after(time)
          from_time(:created_at, time)
        end

        # @param time [Time]
        # @return [ActiveRecord::Relation] changes before then
        # @raise [InvalidArgument] no Time
        # @example
        #   Transition.created_before(1.hour.ago)
        def created_before(time)
          before_time(:created_at, time)
        end
      end
    end
  end
end
