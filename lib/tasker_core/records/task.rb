# frozen_string_literal: true

require_relative "../internal/json_text"

module TaskerCore
  module Records
    # A task, as the view `tasker_task_overview` has it. Associations: `steps`, `attempts` and `transitions` in their
    # order, `parent_step` (which runs the task), `forked_from` and `forks`, `compensates` and `compensated_by`.
    #
    # @example
    #   Task.in_state("error", "blocked").with_failed_step("charge_card").map { |task| task.context["order_id"] }
    class Task < Base
      extend TemplateScopes
      extend EndScopes
      extend Sealed

      # Every state, as in docs/state_machines.md.
      STATES = %w[pending in_progress waiting blocked paused complete error cancelled resolved_manually].freeze

      self.table_name = "tasker_task_overview"
      self.primary_key = "task_id"

      opens context: "context"

      belongs_to :forked_from, class_name: "TaskerCore::Records::Task", optional: true, inverse_of: :forks
      has_many :forks, -> { order(:task_id) },
               class_name: "TaskerCore::Records::Task", foreign_key: :forked_from_id, inverse_of: :forked_from
      belongs_to :compensates, class_name: "TaskerCore::Records::Task", optional: true, inverse_of: :compensated_by
      belongs_to :compensated_by, class_name: "TaskerCore::Records::Task", optional: true, inverse_of: :compensates
      belongs_to :parent_step, class_name: "TaskerCore::Records::Step", optional: true, inverse_of: :child_tasks
      has_many :steps, -> { order(:step_id) },
               class_name: "TaskerCore::Records::Step", foreign_key: :task_id, inverse_of: :task
      has_many :attempts, -> { order(:transition_id) },
               class_name: "TaskerCore::Records::Attempt", foreign_key: :task_id, inverse_of: :task
      has_many :transitions, -> { order(:transition_id) },
               class_name: "TaskerCore::Records::Transition", foreign_key: :task_id, inverse_of: :task

      class << self
        # Of those that have not ended, or are in error alone, an index tells which they are.
        #
        # @param states [Array<String, Symbol, Array>] one or more of {STATES}
        # @return [ActiveRecord::Relation]
        # @raise [InvalidArgument] no such state
        # @example
        #   Task.in_state("error", "blocked")
        def in_state(*states)
          states = checked_states(states)
          found = where(state: states)
          return found.unfinished if (states & TaskStatus::TERMINAL).empty?

          states.uniq == ["error"] ? found.where(arel_table[:open_failures].gt(0)) : found
        end

        # @return [ActiveRecord::Relation] tasks that have not ended
        # @example
        #   Task.unfinished.group(:template, :state).count
        def unfinished
          where(finished_at: nil)
        end

        # @return [ActiveRecord::Relation] tasks of which only timers, signals and retries are left
        # @example
        #   Task.waiting.includes(:steps)
        def waiting
          in_state("waiting")
        end

        # @param tags [Array<String>]
        # @return [ActiveRecord::Relation] tasks that have all of these
        # @raise [InvalidArgument]
        # @example
        #   Task.tagged("nightly", "eu")
        def tagged(*tags)
          Internal::Check.refuse("tags", tags, "one tag or more") if tags.empty?
          containing(:tags, Internal::JsonText.new.generate(Internal::Check.texts(tags, "tags"), what: "tags"))
        end

        # @param key [String]
        # @return [ActiveRecord::Relation] tasks that were submitted with this `correlation_key:`
        # @raise [InvalidArgument]
        # @example
        #   Task.with_correlation_key("customer-7").unfinished
        def with_correlation_key(key)
          where(correlation_key: Internal::Check.text(key, "key"))
        end

        # Tasks whose context has these values under these keys; arrays and objects in it may have more. An encrypted
        # context has none. Without an index of yours all tasks that are left by the other conditions are looked at.
        #
        # @param attributes [Hash{Symbol, String => Object}] as {Client#submit} takes a context
        # @return [ActiveRecord::Relation]
        # @raise [InvalidArgument] empty
        # @raise [InvalidContext] what JSON cannot say
        # @example
        #   Task.with_context(order_id: 42, customer: { country: "NO" })
        def with_context(attributes)
          allowed = "a Hash that is not empty"
          Internal::Check.refuse("context", attributes, allowed) unless attributes.is_a?(Hash) && attributes.any?
          containing(:context, Internal::JsonText.new(records: true).generate(attributes, what: "context"))
        end

        # Tasks that such a step in error or blocked holds up, as `TaskerCore.failures` lists them.
        #
        # @param name [String, Symbol] as for {StepScopes#named}
        # @return [ActiveRecord::Relation]
        # @raise [InvalidArgument]
        # @example
        #   Task.with_failed_step("charge_card").of_template("order_fulfilment")
        def with_failed_step(name)
          failed = Step.unscoped.named(name).in_state("error", "blocked")
          where(arel_table[:open_failures].gt(0).or(arel_table[:blocked_steps].gt(0)))
            .where.not(state: %w[complete cancelled resolved_manually])
            .where(task_id: failed.select(:task_id))
        end

        # @param time [Time]
        # @return [ActiveRecord::Relation] tasks that were submitted then or later
        # @raise [InvalidArgument] no Time
        # @example
        #   Task.submitted_after(1.day.ago).submitted_before(1.hour.ago)
        def submitted_after(time)
          from_time(:requested_at, time)
        end

        # @param time [Time]
        # @return [ActiveRecord::Relation] tasks that were submitted before
        # @raise [InvalidArgument] no Time
        # @example
        #   Task.unfinished.submitted_before(1.day.ago)
        def submitted_before(time)
          before_time(:requested_at, time)
        end

        private

        def containing(column, json)
          where(Arel::Nodes::InfixOperation.new("@>", arel_table[column], Arel::Nodes.build_quoted(json)))
        end
      end

      # @return [Boolean] whether the task is over
      def terminal?
        TaskStatus::TERMINAL.include?(state)
      end
    end
  end
end
