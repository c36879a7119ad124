# frozen_string_literal: true

require "json"
require_relative "../internal/global_ids"
require_relative "../step_handler/errors"

module TaskerCore
  module Jobs
    # Executes steps whose handler is a class of Active Job. The parameters of its `perform` are found by their names:
    # `task`, `sequence` and `step` are those of a handler, any other is the attribute of that name of `step.inputs`.
    class PerformStep
      # What makes a job one that a step performs.
      module InStep
        # @return [Proc]
        attr_writer :arguments_of_inputs

        # Has the step tried again, instead of another job.
        #
        # @param options [Hash{Symbol => Object}] wait, wait_until, error
        # @raise [RetryableError]
        def retry_job(options = {})
          error = options[:error]
          raise RetryableError.new(error ? "#{error.class}: #{error.message}" : "the job asks to be performed again",
                                   retry_after: options[:wait_until] || options[:wait]&.to_f)
        end

        private

        # Called by Active Job where it handles what goes wrong.
        def deserialize_arguments(inputs)
          @arguments_of_inputs.call(super.first)
        end
      end

      # Code of a step whose inputs lack what its job needs.
      MISSING = "MISSING_ARGUMENT"
      # Parameters that are no attributes.
      OWN = %i[task sequence step].freeze

      # @param job_class [Class]
      def initialize(job_class)
        @job_class = job_class
        @parameters = job_class.instance_method(:perform).parameters
      end

      # @param task [Task]
      # @param sequence [Sequence]
      # @param step [Step]
      # @return [Object, nil] what `perform` returned; nil where the job handled what it raised
      # @raise [PermanentError] the inputs lack what `perform` needs
      # @raise [RetryableError] the job asks to be tried again
      def process(task, sequence, step)
        job = job_of(step)
        own = { task: task, sequence: sequence, step: step }
        job.arguments_of_inputs = ->(inputs) { arguments(inputs, own) }
        job.provider_job_id = task.task_id
        returned = ::ActiveJob::Callbacks.run_callbacks(:execute) { job.perform_now }
        returned.is_a?(Exception) ? nil : returned
      end

      private

      # Counts as `retry_on` does: by what failed, without what only waited.
      def job_of(step)
        job = @job_class.new.extend(InStep)
        job.job_id = step.idempotency_key
        job.executions = step.attempts - step.waits
        job.exception_executions = Hash.new(job.executions)
        job.serialized_arguments = [copy(Internal::GlobalIds.for_active_job(step.plain_inputs))]
        job
      end

      # Jobs may change what they are given.
      def copy(inputs)
        JSON.parse(JSON.generate(inputs, max_nesting: false), max_nesting: false)
      end

      # Inputs that have no names are the first argument.
      def arguments(inputs, own)
        return [inputs] unless inputs.is_a?(Hash)

        given = { **inputs.transform_keys(&:to_sym), **own }
        positional = positional(given)
        keywords = keywords(given)
        keywords.empty? ? positional : [*positional, Hash.ruby2_keywords_hash(keywords)]
      end

      def positional(given)
        names = names_of(:req, :opt)
        optional = names_of(:opt)
        names.take_while { |name| given.key?(name) || !optional.include?(name) }.map { |name| fetch(given, name) }
      end

      def keywords(given)
        names_of(:keyreq).each { |name| fetch(given, name) }
        named = given.slice(*names_of(:keyreq, :key))
        return named if @parameters.none? { |kind, _name| kind == :keyrest }

        { **given.except(*OWN, *names_of(:req, :opt)), **named }
      end

      def names_of(*kinds)
        @parameters.filter_map { |kind, name| name if kinds.include?(kind) }
      end

      def fetch(given, name)
        given.fetch(name) do
          raise PermanentError.new("perform of #{@job_class} needs #{name}, which the step's inputs lack; they have: " \
                                   "#{(given.keys - OWN).join(", ")}", error_code: MISSING)
        end
      end
    end
  end
end
