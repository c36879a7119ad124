# frozen_string_literal: true

module TaskerCore
  module Records
    # An attempt that has ended, as the view `tasker_attempt_overview` has it. Associations: `task` and `step`, which is
    # nil where the step is retired.
    #
    # @example
    #   Attempt.failed.finished_after(1.hour.ago).group(:template, :error_class).count
    class Attempt < Base
      extend TemplateScopes
      extend StepScopes

      # Outcomes that are failures.
      FAILURES = %w[retryable permanent blocked timeout worker_died].freeze

      self.table_name = "tasker_attempt_overview"
      self.primary_key = "transition_id"

      belongs_to :task, class_name: "TaskerCore::Records::Task", inverse_of: :attempts
      belongs_to :step, class_name: "TaskerCore::Records::Step", optional: true, inverse_of: :attempts

      class << self
        # @return [ActiveRecord::Relation] attempts whose outcome is one of {FAILURES}
        # @example
        #   Attempt.failed.named("charge_card").last
        def failed
          where(outcome: FAILURES)
        end

        # @param error [Class, String] an exception class; one that is encrypted is not found
        # @return [ActiveRecord::Relation]
        # @raise [InvalidArgument]
        # @example
        #   Attempt.with_error(Net::ReadTimeout).count
        def with_error(error)
          where(error_class: Internal::Check.text(error.is_a?(Class) ? error.name : error, "error"))
        end

        # @param time [Time]
        # @return [ActiveRecord::Relation] attempts that ended then or later
        # @raise [InvalidArgument] no Time
        # @example
        #   Attempt.finished_after(1.hour.ago).average(:execution_ms)
        def finished_after(time)
          from_time(:finished_at, time)
        end

        # @param time [Time]
        # @return [ActiveRecord::Relation] attempts that ended before
        # @raise [InvalidArgument] no Time
        # @example
        #   Attempt.finished_before(1.week.ago).count
        def finished_before(time)
          before_time(:finished_at, time)
        end
      end
    end
  end
end
