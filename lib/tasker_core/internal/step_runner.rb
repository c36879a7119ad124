# frozen_string_literal: true

require "json"
require_relative "../sequence"
require_relative "../step"
require_relative "../step_handler/base"
require_relative "../task"
require_relative "around_steps"
require_relative "error_classes"
require_relative "failure_report"
require_relative "json_text"
require_relative "step_plans"
require_relative "step_transactions"

module TaskerCore
  module Internal
    # Executes one attempt and reports how it ended, exactly once, whatever the handler does: it may return, raise
    # anything, exit, or end its thread.
    #
    # The caller defers interrupts (Thread#raise, Thread#kill, a Timeout) around the whole; they are let in while the
    # handler runs, and only then, so that none can come between an attempt's end and its report.
    class StepRunner
      # Interrupts reach the handler as they would outside a worker.
      INTERRUPTIBLE = { Object => :immediate }.freeze
      # What an attempt without results sends.
      NO_RESULTS = "null"
      # How an attempt ends that others have ended: the native library refuses it, as any other end.
      CUT_OFF = JSON.generate("kind" => "permanent", "class" => "TaskerCore::Step",
                              "message" => "the attempt was ended by others").freeze
      # Code of attempts whose results cannot be kept.
      INVALID_RESULTS = "INVALID_RESULTS"

      # @api private
      # The handler ended its thread (Thread.exit, Thread#kill) before it returned.
      class ThreadEnded < StandardError
        def message
          "the handler's thread was ended before the handler returned"
        end
      end

      # @param native [Bridge::Worker] takes the reports
      # @param configuration [Configuration] whose settings count
      # @param logger [Logger] in the place of the configuration's
      # @param around_steps [Array<#call>] likewise
      # @param transaction_connection [#call, nil] likewise
      def initialize(native, configuration, logger: configuration.logger, around_steps: configuration.around_steps,
                     transaction_connection: configuration.transaction_connection)
        @native = native
        @logger = logger
        @plans = StepPlans.new(native)
        @transactions = StepTransactions.new(native, transaction_connection)
        @error_classes = configuration.error_classes
        @around = AroundSteps.new(around_steps)
        @json_text = JsonText.new(symbols: true, records: true)
      end

      # @param item [Array] as from `next_step`: step id, task id, attempt, template id, index of the step, context
      #   and results of the parents as JSON, or the task that is undone and its template; name, inputs and number of
      #   the item of a step that was added
      # @return [Integer] how long the attempt took, in microseconds, without its report
      # @example
      #   runner.run(native.next_step(500))
      def run(item)
        started = clock
        failure = ThreadEnded
        committing = false
        begin
          ended = Thread.handle_interrupt(INTERRUPTIBLE) { execute(item, started) { committing = true } }
          failure = nil
        rescue Exception => e # rubocop:disable Lint/RescueException -- an exit or a signal fails the attempt, not the worker
          failure = e
        ensure
          took = clock - started
          tell(item, took, ended, failure, committing)
        end
        took
      end

      # @param item (see #run)
      # @return [Boolean] whether the attempt is over, by others if its handler runs
      # @example
      #   runner.ended_by_others?(item)
      def ended_by_others?(item)
        !@native.current(item[0], item[2])
      end

      # Has another thread take steps in the place of one whose handler does not end, and tells the operator.
      #
      # @param item (see #run)
      # @return [Boolean] false: the attempt is not over, or its handler has ended
      # @example
      #   hire(number) if runner.relieve(item)
      def relieve(item)
        return false unless @native.relieve(item[0], item[2])

        @logger.warn do
          "step #{step_name(item)} of task #{item[1]}, attempt #{item[2]}: ended by others, and its handler goes on; " \
            "another thread has its place"
        end
        true
      end

      private

      def tell(item, took, ended, failure, committing)
        return report_recorded(item, took, failure) if committing

        failure ? report_failure(item, took, failure) : report(item, took, ended)
      end

      # Yields when the end is recorded in a transaction: from then on that tells how the attempt ended.
      def execute(item, started, &committing)
        step_id, task_id, attempt, template_id, step_index, context_json, given, added = item
        plan = @plans.template(template_id).plan(step_index)
        task = Task.new(task_id, plan.template, context_json)
        step = Step.new(step_id, attempt, plan, task, @native).added_with(added)
        sequence = sequence(task_id, plan, added ? "{}" : given)
        @around.call(task, step) { attempt(plan, task, sequence, step, started, &committing) }
      end

      def attempt(plan, task, sequence, step, started, &committing)
        return perform(plan, task, sequence, step) unless plan.find_handler.transactional?

        @transactions.run do |borrowed|
          record(borrowed, step, started, perform(plan, task, sequence, step), &committing)
        end
      end

      def perform(plan, task, sequence, step)
        catch(Step::Waits::TAG) do
          taken = handle(plan, task, sequence, step)
          results = results_json(step.results)
          next [:grow, results, step.growth] if step.growth

          taken ? [:decide, results, JSON.generate(taken)] : [:succeed, results]
        end
      end

      # Only an attempt that succeeds is recorded; what else it says is reported once its transaction is rolled back.
      def record(borrowed, step, started, ended)
        how, results, taken = ended
        return [false, ended] unless %i[succeed decide].include?(how)

        recorded = @native.record_end(step.step_id, step.attempt, clock - started, results, taken) do |sql, parameters|
          borrowed.execute(sql, parameters)
        end
        yield if recorded == "recorded"
        [recorded == "recorded", recorded == "lost" ? [:cut_off] : ended]
      rescue InvalidContext => e
        raise unkept(e)
      end

      # The steps before this one; for one that undoes another, those of the task that it undoes. Nothing is read from
      # the database: where that fails, it is no failure of the handler.
      def sequence(task_id, plan, given)
        return Sequence.new(task_id, plan, given, @native) unless plan.template.compensation?

        original, template_id = given
        Sequence.new(original, OriginalSteps.new(@plans.template(template_id), plan.name), nil, @native)
      end

      # Returns the branches that `process` took.
      def handle(plan, task, sequence, step)
        handler = plan.handler
        output = handler.process(task, sequence, step)
        taken = step.taken
        if plan.processes_results?
          handler.process_results(step, output, nil)
        elsif step.results.nil?
          step.results = output
        end
        taken
      end

      def results_json(results)
        results.nil? ? NO_RESULTS : @json_text.generate(results, what: "results")
      rescue InvalidContext => e
        raise unkept(e)
      end

      def unkept(error)
        PermanentError.new("the handler's results cannot be kept: #{error.message}", error_code: INVALID_RESULTS)
      end

      # Where the native library refuses the results (their size, U+0000) or the steps, the attempt is still open.
      def report(item, execution_us, ended)
        how, *said = ended
        return cut_off(item, execution_us) if how == :cut_off

        @native.public_send(how, item[0], item[2], execution_us, *said)
      rescue InvalidContext, InvalidArgument => e
        refused = how == :grow && e.is_a?(InvalidArgument)
        report_failure(item, execution_us, refused ? Step::Growth.refusal(e) : unkept(e))
      end

      # Whether the transaction was committed, the native library finds out.
      def report_recorded(item, execution_us, error)
        error = error.new if error.is_a?(Class)
        @native.end_recorded(item[0], item[2], execution_us, error && FailureReport.json(error, rule(item, error)))
        log(item, error, "commit") if error
      end

      def cut_off(item, execution_us)
        @native.fail(item[0], item[2], execution_us, CUT_OFF)
        @logger.info { "step #{step_name(item)} of task #{item[1]}, attempt #{item[2]}: ended by others, and cut off" }
      end

      def report_failure(item, execution_us, failure)
        failure = failure.new if failure.is_a?(Class)
        rule = rule(item, failure)
        @native.fail(item[0], item[2], execution_us, FailureReport.json(failure, rule))
        log(item, failure, FailureReport.kind(failure, rule))
      end

      # What the tables of the step, its template and the configuration say of a failure, the nearest first. Nothing
      # where that cannot be found out: an attempt that failed is reported in any case.
      def rule(item, failure)
        tables = @plans.template(item[3]).error_classes(item[4])
        ErrorClasses.new({ **tables, "configuration" => @error_classes }).rule(failure)
      rescue StandardError
        nil
      end

      def log(item, failure, kind)
        @logger.public_send(kind == "retryable" ? :info : :warn) do
          "step #{step_name(item)} of task #{item[1]}, attempt #{item[2]}: #{kind} failure: " +
            FailureReport.line(failure)
        end
      end

      def step_name(item)
        item[7] ? item[7].first : @plans.template(item[3]).step_name(item[4])
      rescue Error
        item[0].to_s
      end

      def clock
        Process.clock_gettime(Process::CLOCK_MONOTONIC, :microsecond)
      end
    end
  end
end
