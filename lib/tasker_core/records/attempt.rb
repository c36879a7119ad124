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
      extend EndScopes
      extend Sealed

      # Outcomes that are failures.
      FAILURES = %w[retryable permanent blocked timeout worker_died].freeze

      self.table_name = "tasker_attempt_overview"
      self.primary_key = "transition_id"

      opens error: "failure"

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
      end

      # @return [String, nil] class of the exception
      # @raise [DecryptionError]
      def error_class
        super || decrypted("class")
      end

      # @return [String, nil] the handler's own code for the failure
      # @raise [DecryptionError]
      def error_code
        super || decrypted("code")
      end

      # @return [String, nil]
      # @raise [DecryptionError]
      def error_message
        super || decrypted("message")
      end

      private

      # The view has no words of an error that is encrypted.
      def decrypted(key)
        error[key] if has_attribute?(:encrypted) && encrypted?
      end
    end
  end
end
