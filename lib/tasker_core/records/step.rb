# frozen_string_literal: true

module TaskerCore
  module Records
    # A step of a task, as the view `tasker_step_overview` has it. Associations: `task`, `parents` and `children`,
    # `attempts` and `transitions` in their order, `child_tasks` (which the step runs).
    #
    # @example
    #   Step.named("charge_card").in_state("blocked").includes(:task, :attempts).map { |step| step.error["message"] }
    class Step < Base
      extend TemplateScopes
      extend StepScopes
      extend Sealed

      # Every state, as in docs/state_machines.md.
      STATES = %w[pending enqueued in_progress waiting_for_retry waiting blocked
                  complete error skipped cancelled resolved_manually].freeze
      # Those that no step of a task that has ended is in.
      UNFINISHED = %w[enqueued in_progress waiting_for_retry waiting blocked].freeze
      private_constant :UNFINISHED

      self.table_name = "tasker_step_overview"
      self.primary_key = "step_id"

      opens results: "results", error: "failure"

      belongs_to :task, class_name: "TaskerCore::Records::Task", inverse_of: :steps
      has_many :attempts, -> { order(:transition_id) },
               class_name: "TaskerCore::Records::Attempt", foreign_key: :step_id, inverse_of: :step
      has_many :transitions, -> { order(:transition_id) },
               class_name: "TaskerCore::Records::Transition", foreign_key: :step_id, inverse_of: :step
      has_many :child_tasks, -> { order(:task_id) },
               class_name: "TaskerCore::Records::Task", foreign_key: :parent_step_id, inverse_of: :parent_step
      has_many :incoming_edges, -> { order(:from_step_id) },
               class_name: "TaskerCore::Records::Edge", foreign_key: :to_step_id, inverse_of: :to_step
      has_many :outgoing_edges, -> { order(:to_step_id) },
               class_name: "TaskerCore::Records::Edge", foreign_key: :from_step_id, inverse_of: :from_step
      has_many :parents, through: :incoming_edges, source: :from_step
      has_many :children, through: :outgoing_edges, source: :to_step

      class << self
        # Of steps that move or wait, an index tells which tasks they can be of.
        #
        # @param states [Array<String, Symbol, Array>] one or more of {STATES}
        # @return [ActiveRecord::Relation]
        # @raise [InvalidArgument] no such state
        # @example
        #   Step.in_state("in_progress").order(:started_at)
        def in_state(*states)
          states = checked_states(states)
          found = where(state: states)
          (states - UNFINISHED).empty? ? found.where(task_finished_at: nil) : found
        end

        # @return [ActiveRecord::Relation] steps that wait for their next attempt, a time, a signal or a task
        # @example
        #   Step.waiting.where(signal: "approved")
        def waiting
          in_state("waiting_for_retry", "waiting")
        end

        # @return [ActiveRecord::Relation] steps without the items of map steps, as {Client#result} has them
        # @example
        #   task.steps.without_items
        def without_items
          where(item_index: nil)
        end
      end
    end
  end
end
