# frozen_string_literal: true

require_relative "../tasker_core"
require_relative "testing/attempt"
require_relative "testing/circuit_breakers"
require_relative "testing/clock"
require_relative "testing/fleet"
require_relative "testing/inline"
require_relative "testing/memory"
require_relative "testing/submissions"
require_relative "testing/matchers" if defined?(RSpec::Core)

module TaskerCore
  # For the test suites of applications; loaded by `require "tasker_core/testing"`. See docs/testing.md.
  #
  # @example
  #   attempt = TaskerCore::Testing.run_step(ChargeCard, context: { "order_id" => 7 })
  #   attempt.results # => { "payment_id" => "p-7" }
  module Testing
    # Ways in which {Testing.run} and {Testing.drain} execute tasks.
    MODES = %i[real inline memory].freeze
    # Seeds that are chosen are below, so that they can be typed.
    MOST_SEEDS = 1_000_000_000
    private_constant :MOST_SEEDS

    class << self
      # Says how tasks are executed from now on, or while the block runs. `:real`, the default: a worker of this process
      # on the database of the configuration. `:inline`: the thread that tests executes the steps, and all that the
      # engine and its clients read and write goes over a connection of the test's, within the transaction in which it
      # is: what the test rolls back leaves nothing behind. `:memory`: the same on a Postgres server that this process
      # has for itself, in memory; nothing is there when the mode begins, and nothing is left when it ends.
      #
      # What was {submitted} before is forgotten.
      #
      # @param mode [Symbol] of {MODES}
      # @param connection [PG::Connection, Object, nil] for `:inline`; or an Active Record connection. Default nil:
      #   Active Record's for this thread.
      # @return [Object, nil] what the block returned
      # @raise [InvalidArgument] another mode; a connection that cannot be shared
      # @raise [ConfigurationError] `:inline` without a connection
      # @example every example of RSpec, in its transaction
      #   RSpec.configure { |c| c.around { |example| TaskerCore::Testing.use(:inline) { example.run } } }
      def use(mode, connection: nil)
        Internal::Check.choice(mode.to_s, "mode", MODES.map(&:to_s))
        before = Inline.inherited? ? nil : Inline.current
        enter(mode.to_sym, connection)
        return before&.close unless block_given?

        begin
          yield
        ensure
          Inline.current&.close
          Inline.current = before
        end
      end

      # @return [Symbol] of {MODES}
      # @example
      #   TaskerCore::Testing.mode # => :real
      def mode
        case Inline.current
        when nil then :real
        when Memory then :memory
        else :inline
        end
      end

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

      # Submits a task and executes it, as {use} says, until it has ended or can only go on by a signal, a time or a
      # person.
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

      # Executes tasks, as {use} says, until each has ended or can only go on by a signal, a time or a person.
      #
      # @param task_ids [Array<Integer>] Default: all that were {submitted}.
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
        task_ids = submitted.map(&:task_id) if task_ids.empty?
        statuses = (Inline.current || Fleet).working(**worker) do |pause|
          Fleet.rest_all(task_ids.flatten, timeout, clock, skip_time: skip_time, &pause)
        end
        check_crashes if statuses.all?(&:settled?)
        statuses
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

      # Puts the engine's clock ahead, as {advance} does, to a time. It does not come back: {reset_clock}.
      #
      # @param time [Time, DateTime, ActiveSupport::TimeWithZone]
      # @return [void]
      # @raise [InvalidArgument] before the time that the engine's clock shows
      # @raise [ConfigurationError] without the gem pg
      # @example
      #   TaskerCore::Testing.travel_to(Time.now + 86_400)
      def travel_to(time)
        clock.travel_to(time)
      end

      # The engine's clock shows the time again as it is.
      #
      # @return [void]
      # @example
      #   RSpec.configure { |c| c.after { TaskerCore::Testing.reset_clock } }
      def reset_clock
        clock.reset
      end

      # Has the worker die in the middle of an attempt of the next task with such a step, as a process that is killed:
      # what is not committed is lost, another worker finds it dead and goes on. In the modes `:inline` and `:memory`.
      #
      # @param point [Symbol] `:before_process`, `:after_process`: nothing of the attempt is kept; `:before_commit`: its
      #   end is written, and not committed; `:after_commit`: it is committed, and the worker does not learn of it
      # @param step [String, Symbol] name
      # @param attempt [Integer] which of the step's attempts, from 1. Default 1.
      # @return [void]
      # @raise [InvalidArgument] another mode; an unknown point
      # @example
      #   TaskerCore::Testing.crash_at(:after_process, step: "charge_card")
      #   expect(TaskerCore::Testing.run("order_fulfilment")).to retry_step("charge_card").times(1)
      def crash_at(point, step:, attempt: 1)
        inline("crash_at").faults.plan(point, step: step, attempt: attempt)
      end

      # While the block runs, steps that can be executed at the same time are executed in an order by chance, and
      # workers die and handlers fail by chance, in first attempts. The same seed brings the same again; where the block
      # raises, its seed is printed. In the modes `:inline` and `:memory`.
      #
      # @param seed [Integer, nil] Default nil: the variable TASKER_SEED, else a new one.
      # @param crashes [Numeric] share of first attempts whose worker dies, 0.0 to 1.0. Default 0.1.
      # @param failures [Numeric] share of first attempts that fail with a {RetryableError}, 0.0 to 1.0. Default 0.1.
      # @yieldparam seed [Integer]
      # @return [Object] what the block returned
      # @raise [InvalidArgument] another mode; a value that is not allowed
      # @example
      #   TaskerCore::Testing.by_chance(crashes: 0.5) do
      #     expect(TaskerCore::Testing.run("order_fulfilment", skip_time: true)).to complete
      #   end
      def by_chance(seed: nil, crashes: 0.1, failures: 0.1)
        seed = Integer(seed || ENV.fetch("TASKER_SEED", nil) || (Random.new_seed % MOST_SEEDS))
        { crashes: crashes, failures: failures }.each { |name, share| Internal::Check.within(share, name.to_s, 0..1) }
        inline("by_chance").faults.by_chance(seed, crashes: crashes, failures: failures) { yield seed }
      rescue Exception # rubocop:disable Lint/RescueException -- those of test frameworks are no StandardError
        warn "tasker_core: the seed was #{seed}; TASKER_SEED=#{seed} repeats it" if seed
        raise
      end

      # What was submitted since the last {clear} in this process, whether or not the transaction around it was
      # committed.
      #
      # @return [Array<Submitted>] in their order
      # @example
      #   TaskerCore::Testing.submitted.map(&:name) # => ["order_fulfilment"]
      def submitted
        Inline.current&.renew
        Submissions.all
      end

      # Forgets what was {submitted}, crashes that are planned, and the {CircuitBreakers} of HTTP steps.
      #
      # @return [void]
      # @example
      #   RSpec.configure { |c| c.before { TaskerCore::Testing.clear } }
      def clear
        Submissions.clear
        Inline.current&.faults&.clear
        CircuitBreakers.reset
      end

      private

      # One that cannot be entered changes nothing.
      def enter(mode, connection)
        before = Inline.inherited? ? nil : Inline.current
        Inline.current = nil
        entered = { inline: -> { Inline.new(connection) }, memory: -> { Memory.new } }[mode]
        before = entered&.call
        clear
      ensure
        Inline.current = before
      end

      def check_crashes
        Inline.current&.faults&.check_all_happened
      end

      def inline(method)
        inline = Inline.current || Internal::Check.refuse("mode", mode, "inline and memory for #{method}")
        inline.tap(&:renew)
      end

      def clock
        Inline.current ? Inline.current.clock : @clock ||= Clock.new
      end
    end
  end
end
