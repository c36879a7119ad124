# frozen_string_literal: true

require_relative "jobs/enqueuing"
require_relative "jobs/execution"
require_relative "jobs/handover"
require_relative "jobs/perform"
require_relative "jobs/perform_step"

module TaskerCore
  # Active Job, both ways: jobs that tasker_core performs, and steps that Active Job executes. See docs/active_job.md.
  module Jobs
    # Where the adapter is that Active Job looks for.
    ADAPTER = File.expand_path("../active_job/queue_adapters/tasker_core_adapter", __dir__)
    private_constant :ADAPTER

    autoload :StepJob, File.expand_path("jobs/step_job", __dir__)

    class << self
      # @api private
      # @param type [Class]
      # @return [Boolean] whether it is a class of jobs. Loads nothing.
      def job?(type)
        type.respond_to?(:perform_later) && type.method_defined?(:perform)
      end

      # What executes a step, where that is not its handler class as it stands.
      #
      # @api private
      # @param handler_class [Class]
      # @param definition [Hash{String => Object}] the step in a normalised template
      # @param template [Internal::TemplateSteps]
      # @return [Handover, PerformStep, nil]
      def in_place_of(handler_class, definition, template)
        handed_over = handler_class.executor_options if handler_class.respond_to?(:executor_options)
        return Handover.new(handed_over, definition, template) if handed_over && !template.compensation?

        PerformStep.new(handler_class) if job?(handler_class)
      end

      # Has Active Job find the adapter by its name.
      #
      # @api private
      # @return [void]
      def announce_adapter
        return unless defined?(ActiveSupport) && ActiveSupport.respond_to?(:on_load)

        ActiveSupport.on_load(:active_job) { ::ActiveJob::QueueAdapters.autoload(:TaskerCoreAdapter, ADAPTER) }
      end
    end

    announce_adapter
  end
end
