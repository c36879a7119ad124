# frozen_string_literal: true

require_relative "../tasker_core"
require_relative "testing/attempt"
require_relative "testing/clock"
require_relative "testing/fleet"
require_relative "testing/submissions"
require_relative "testing/matchers" if defined?(RSpec::Core)

module TaskerCore
  # For the test suites of applications; loaded by `require "tasker_core/testing"`. See docs/testing.md.
  #
  # @example
  #   attempt = TaskerCore::Testing.run_step(ChargeCard, context: { "order_id" => 7 })
  #   attempt.results # => { "payment_id" => "p-7" }
  module Testing
    class << self
      # Executes a handler once, in the calling thread, without a database and without a worker: no other step runs, and
      # nothing is kept.
      #
      # @param handler [Class, String, Symbol] a handler class; or with `of` the name of a step
      # @param of [String, TaskTemplate, nil] template of the step, or name of one that is loaded: `config`, branches,
      #   prototypes and retries are as it says. Default nil: a template with this one step.
      # @param context [Hash] of the task. Default {}.
      # @param results [Hash{String, Symbol => Object}] what other steps returned, by name. Default {}.
      # @param options [Hash{Symbol => Object}] see {Surroundings}: `attempt`, `states`, `inputs`, `item`, `item_index`,
      #   `items`, `signals`, `waits`, `data`, `cursor`, `workflows`, `cancelled`; with a class also `config`,
      #   `branches`, `retry_limit`
      # @return [Attempt] frozen
      # @raise [InvalidArgument] an unknown option; no such template or step
      # @raise [HandlerNotFound] the step's class is not there
      # @example
      #   run_step("ship", of: "order_fulfilment", context: { order_id: 7 }, results: { charge: { id: "p-7" } }).state
      def run_step(handler, of: nil, context: {}, results: {}, **options)
        Attempt.of(handler, of: of, context: context, results: results, **options)
      end

      # Submits a task and executes it with a worker of this process, until it has ended or can only go on by a signal,
      # a time or a person.
      #
      # @param name [String] of the template
      # @param timeout [Numeric] seconds. Default 30.
      # @param skip_time [Boolean] nothing waits for a time: the engine's clock is put ahead instead, as by {advance}
      # @param worker [Hash{Symbol => Object}] options of {Worker}. Default {}.
      # @param submission [Hash{Symbol => Object}] as {TaskerCore.submit} takes it
      # @return [TaskResult]
      # @raise [TimeoutError] it can go on after `timeout`
      # @example
      #   TaskerCore::Testing.run("order_fulfilment", context: { order_id: 7 }).results_of("ship")
      def run(name, timeout: Fleet::PATIENCE, skip_time: false, worker: {}, **submission)
        task_id = TaskerCore.submit(name, **submission)
        drain(task_id, timeout: timeout, skip_time: skip_time, worker: worker)
        TaskerCore.result(task_id)
      end

      # Executes tasks with a worker of this process, until each has ended or can only go on by a signal, a time or a
      # person.
      #
      # @param task_ids [Array<Integer>]
      # @param timeout [Numeric] seconds. Default 30.
      # @param skip_time [Boolean] nothing waits for a time: the engine's clock is put ahead instead, as by {advance}
      # @param worker [Hash{Symbol => Object}] options of {Worker}. Default {}.
      # @return [Array<TaskStatus>]
      # @raise [TimeoutError] one can go on after `timeout`
      # @example
      #   TaskerCore.signal(task_id, "approved")
      #   TaskerCore::Testing.drain(task_id)
      def drain(*task_ids, timeout: Fleet::PATIENCE, skip_time: false, worker: {})
        clock.install if skip_time
        Fleet.working(**worker) do
          task_ids.flatten.map { |task_id| Fleet.rest(task_id, timeout, clock, skip_time: skip_time) }
        end
      end

      # Puts the engine's clock ahead, on the database of the configuration: what waits for a time, a retry or a delay
      # goes on as much sooner, and deadlines pass. The first call changes the database (a schema `tasker_clock`, the
      # defaults of columns) and the configuration's `database_url`: for databases of tests.
      #
      # @param seconds [Numeric] from 0
      # @return [void]
      # @raise [InvalidArgument]
      # @raise [ConfigurationError] without the gem pg
      # @example
      #   TaskerCore::Testing.advance(30 * 86_400)
      #   TaskerCore::Testing.drain(task_id)
      def advance(seconds)
        clock.advance(seconds)
      end

      # The engine's clock shows the time again as it is.
      #
      # @return [void]
      # @example
      #   RSpec.configure { |c| c.after { TaskerCore::Testing.reset_clock } }
      def reset_clock
        @clock&.reset
      end

      # What was submitted since the last {clear} in this process, whether or not the transaction around it was
      # committed.
      #
      # @return [Array<Submitted>] in their order
      # @example
      #   TaskerCore::Testing.submitted.map(&:name) # => ["order_fulfilment"]
      def submitted
        Submissions.all
      end

      # Forgets what was {submitted}.
      #
      # @return [void]
      # @example
      #   RSpec.configure { |c| c.before { TaskerCore::Testing.clear } }
      def clear
        Submissions.clear
      end

      private

      def clock
        @clock ||= Clock.new(TaskerCore.client.url)
      end
    end
  end
end
