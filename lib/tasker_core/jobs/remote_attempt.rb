# frozen_string_literal: true

require "json"
require_relative "../internal/clock"
require_relative "../internal/failure_report"
require_relative "../internal/step_runner"
require_relative "handover"
require_relative "perform_step"
require_relative "seal"

module TaskerCore
  module Jobs
    # An attempt that a worker has handed over, in the process that performs its job. Stands where a worker's native
    # library stands otherwise: answers what the handler asks, from the database, and tells the worker by a signal how
    # it ended.
    class RemoteAttempt
      # Code of a handler that asks for what only a worker can give.
      UNSUPPORTED = "UNSUPPORTED_BY_EXECUTOR"
      # States in which a step waits for its job: before and after its worker has ended the attempt.
      AWAITING = %w[in_progress waiting].freeze
      # Seconds between two looks whether the step still waits.
      LOOK_SECONDS = 1.0

      # Executes handlers as a worker does.
      class Runner < Internal::StepRunner
        # @return [SignalException, nil] what has told the process to stop
        attr_reader :interrupt

        # @param attempt [RemoteAttempt]
        # @param step_name [String]
        def initialize(attempt, step_name)
          super(attempt, TaskerCore.configuration)
          @plans = Plans.new(Template.new(attempt, 0))
          @step_name = step_name
          @interrupt = nil
        end

        private

        # A process that is told to stop leaves its job to be performed elsewhere.
        def report_failure(item, took, failure)
          failure.is_a?(SignalException) ? @interrupt = failure : super
        end

        def step_name(_item)
          @step_name
        end
      end

      # The only template that is asked for.
      Plans = Struct.new(:only) do
        # @param _template_id [Integer]
        # @return [Template]
        def template(_template_id)
          only
        end
      end

      # What a template says of the one step.
      class Template < Internal::TemplateSteps
        # @param handler_class [Class]
        # @param _definition [Hash{String => Object}]
        # @return [PerformStep, nil] no step is handed over twice
        def in_place_of(handler_class, _definition)
          PerformStep.new(handler_class) if Jobs.job?(handler_class)
        end
      end
      private_constant :Runner, :Plans, :Template

      # @param item [Array] what {Handover} hands over
      # @param head [String] what the template says of all steps, as JSON
      # @param definition [String] the step in the template, as JSON
      def initialize(item, head, definition)
        @step_id, @task_id, @attempt, @step_name, @waits, @given = item
        @head = head
        @definition = definition
        @artifacts = {}
        @cost = 0.0
        @looked_at = nil
      end

      # Executes the handler and tells how it ended; does nothing where the step does not wait for it any more.
      #
      # @return [void]
      # @raise [Error] the database does not answer, or refuses the outcome: the step still waits
      # @raise [SignalException] the process was told to stop: the step still waits
      def execute
        return log("is not waited for any more") unless awaited?

        runner = Runner.new(self, @step_name)
        runner.run([@step_id, @task_id, @attempt, 0, 0, *Seal.open(@given)])
        raise runner.interrupt if runner.interrupt
      end

      # @api private
      # @return [String]
      def template(_template_id)
        @head
      end

      # @api private
      # @return [String]
      def step_definition(_template_id, _index)
        @definition
      end

      # @api private
      # @return [String] JSON, by topological order
      def step_names(_template_id)
        JSON.generate(TaskerCore.result(@task_id).steps.map(&:name))
      end

      # @api private
      # @return [String, nil] JSON
      def results_of(task_id, name)
        step = step_of(task_id, name)
        JSON.generate(step.results, max_nesting: false) unless step.results.nil?
      end

      # @api private
      # @return [String]
      def state_of(task_id, name)
        step_of(task_id, name).state
      end

      # @api private
      # @return [String] JSON
      def items_of(task_id, name, after, limit)
        JSON.generate(TaskerCore.items(task_id, name, after: after, limit: limit).map(&:to_h), max_nesting: false)
      end

      # Asks at most once a second.
      #
      # @api private
      # @return [Boolean] false: the step is known not to wait for this attempt
      def current(_step_id, _attempt)
        now = Internal::Clock.seconds
        return @current if @looked_at && now - @looked_at < LOOK_SECONDS

        @looked_at = now
        @current = awaited?
      rescue DatabaseUnavailable
        @current = true
      end

      # @api private
      # @return [void]
      def attach(_step_id, _attempt, artifact)
        @artifacts[JSON.parse(artifact).fetch("name")] = artifact
      end

      # @api private
      # @return [Float]
      def spend(_step_id, _attempt, cost)
        @cost += cost
      end

      # @api private
      # @return [String] JSON
      def look_at_wait(_step_id, signal, _after)
        signal ? unsupported("signals") : JSON.generate("waits" => @waits)
      end

      # @api private
      # @raise [PermanentError]
      def run_workflow(*)
        unsupported("other workflows")
      end

      # @api private
      # @raise [PermanentError]
      def checkpoint(*)
        unsupported("checkpoints")
      end

      # @api private
      # @return [void]
      def wait(step_id, attempt, execution_us, _wait)
        unsupported("times to wait for")
      rescue PermanentError => e
        self.fail(step_id, attempt, execution_us, Internal::FailureReport.json(e))
      end

      Handover::ENDS.each_key do |how|
        # @api private
        define_method(how) { |_step_id, _attempt, _execution_us, *said| tell([how, *said]) }
      end

      private

      def awaited?
        step = step_of(@task_id, @step_name)
        step.attempts == @attempt && AWAITING.include?(step.state)
      rescue NotFound, InvalidArgument
        false
      end

      def step_of(task_id, name)
        TaskerCore.result(task_id, step: name).steps.first
      end

      # Of a job that is performed twice the first outcome counts.
      def tell(said)
        name = Handover.signal(@step_id, @attempt)
        outcome = { "said" => said, "cost" => @cost, "artifacts" => @artifacts.values }
        TaskerCore.signal(@task_id, name, outcome, idempotency_key: name)
      rescue InvalidTransition, NotFound
        log("ended, and the task is over")
      end

      def log(what)
        TaskerCore.configuration.logger.info do
          "step #{@step_name} of task #{@task_id}: the job of attempt #{@attempt} #{what}"
        end
        nil
      end

      def unsupported(what)
        raise PermanentError.new("a handler that Active Job executes has no #{what}: have a step of its own do that, " \
                                 "which a worker executes", error_code: UNSUPPORTED)
      end
    end
  end
end
