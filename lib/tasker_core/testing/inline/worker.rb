# frozen_string_literal: true

require "json"
require_relative "../../internal/announcer"
require_relative "../../internal/bridge"
require_relative "../../internal/clock"
require_relative "../../internal/step_plans"
require_relative "../../internal/step_runner"
require_relative "../../internal/worker_options"
require_relative "../../step_handler/errors"
require_relative "door"
require_relative "faults"
require_relative "lent"
require_relative "nested_connection"

module TaskerCore
  module Testing
    class Inline
      # A worker whose steps the calling thread executes, one after the other, in the session of the test. It can die as
      # a process does that is killed.
      class Worker
        # It sees at once what others do, and no handler is slow enough for it to seem dead.
        OPTIONS = { concurrency: 1, heartbeat_interval: 0.1, dead_after: 3_600 }.freeze
        # How many it holds where they are executed in an order by chance.
        SHUFFLED = { concurrency: 16 }.freeze
        # Milliseconds that it may take to write what was reported.
        STOP_MS = 10_000
        # Seconds that the commit has to come before or after which it dies.
        PATIENCE = 10

        # Others are to see at once that it is dead.
        OLD_HEARTBEAT = "UPDATE tasker_workers SET heartbeat_at = heartbeat_at - interval '1 day' WHERE worker_id = $1"
        private_constant :OLD_HEARTBEAT

        # Tells subscribers in the calling thread.
        class Announcer < Internal::Announcer
          # @return [void]
          def tell_pending
            return if idle?

            batch = @native.next_events(BATCH, 0)
            tell(batch) if batch
          end

          private

          def hire; end
        end

        # What an attempt reports to, which may be where its worker dies.
        class Port < Lent
          # @return [Symbol, nil] of {Faults::POINTS}
          attr_accessor :crash

          %i[succeed decide grow fail wait].each do |how|
            define_method(how) do |*said|
              ::Kernel.raise Faults::Crash if crash == :after_process

              method_missing(how, *said)
            end
          end

          # As {Internal::Bridge::Worker}.
          #
          # @api private
          def record_end(*said, &block)
            ::Kernel.raise Faults::Crash if crash == :after_process

            method_missing(:record_end, *said, &block).tap { ::Kernel.raise Faults::Crash if crash == :before_commit }
          end

          # As {Internal::Bridge::Worker}.
          #
          # @api private
          def end_recorded(*said)
            ::Kernel.raise Faults::Crash if crash == :after_commit

            method_missing(:end_recorded, *said)
          end
        end
        private_constant :Announcer, :Port

        # @param session [Session]
        # @param connection [NestedConnection] for transactional handlers
        # @param faults [Faults]
        # @param options [Hash{Symbol => Object}] of {TaskerCore::Worker}
        # @yieldparam door [Door]
        # @yieldreturn [String] its URL, with what is to be asked for
        def initialize(session, connection, faults, **options, &url)
          @session = session
          @connection = connection
          @faults = faults
          @url = url
          @configuration = TaskerCore.configuration
          shuffled = faults.shuffled? ? SHUFFLED : {}
          @options = Internal::WorkerOptions.new(**@configuration.worker, **OPTIONS, **shuffled, **options)
          TaskerCore.templates.each { |template| TaskerCore.client.register(template) }
          start
        end

        # Executes a step.
        #
        # @param wait_ms [Integer] milliseconds to wait for one
        # @return [Boolean] whether there was one
        def step(wait_ms)
          item = take(wait_ms)
          execute(item) if item
          @announcer.tell_pending
          !item.nil?
        rescue Faults::Crash
          die
          start
          true
        end

        # Ends it in order.
        #
        # @return [void]
        def stop
          @port.drain
          @port.stop(STOP_MS)
          @announcer.tell_pending
        ensure
          TaskerCore.subscriptions.detach(@announcer)
          @door.shut
        end

        private

        def start
          @held = []
          @condemned = nil
          @cut = false
          @door = Door.new(@session) { |moment| cut?(moment) }
          options = @options.native_json(@url.call(@door), @configuration,
                                         record_events: TaskerCore.subscriptions.wanted)
          @port = Port.new(@session.lend(@door) { Internal::Bridge::Worker.start(options) }, @session, @door)
          @plans = Internal::StepPlans.new(@port)
          @announcer = Announcer.new(@port, @configuration.logger, TaskerCore.subscriptions)
          TaskerCore.subscriptions.attach(@announcer)
          @runner = Internal::StepRunner.new(@port, @configuration, around_steps: around_steps,
                                                                    transaction_connection: -> { @connection })
        end

        # The innermost is what fails by chance: whatever stands around handlers sees it.
        def around_steps
          [*@configuration.around_steps, method(:perhaps_fail)]
        end

        def perhaps_fail(_task, step)
          raise RetryableError, Faults::MESSAGE if @faults.failure?(step.attempt)

          yield
        end

        # What a handler rolls back must be its own, so that nothing is being written while it runs.
        def take(wait_ms)
          return take_by_chance(wait_ms) if @faults.shuffled?

          settle unless @session.lent_for_good?
          @port.next_step(wait_ms) || nil
        end

        # One of all that can be executed, whenever each became so.
        def take_by_chance(wait_ms)
          settle
          while (item = @port.next_step(@held.empty? ? wait_ms : 0))
            @held << item
          end
          @faults.pick(@held.sort_by!(&:first)) if @held.any?
        end

        # Ends are written, and what they made ready is claimed.
        def settle
          by = Internal::Clock.seconds + PATIENCE
          @session.lend(@door) { sleep(0.001) } while unwritten? && Internal::Clock.seconds < by
        end

        def unwritten?
          JSON.parse(@port.stats)["pending_writes"].positive?
        end

        def execute(item)
          name = item[7] ? item[7].first : @plans.template(item[3]).step_name(item[4])
          @port.crash = @faults.crash_of(name, item[2])
          raise Faults::Crash if @port.crash == :before_process

          @condemned = item if %i[before_commit after_commit].include?(@port.crash)
          @runner.run(item)
          await_death if @condemned
        ensure
          @port.crash = nil
        end

        # It may have come while the end was reported.
        def await_death
          by = Internal::Clock.seconds + PATIENCE
          @session.lend(@door) { sleep(0.001) until @cut || Internal::Clock.seconds > by }
          raise Faults::Crash
        end

        # In the thread of a connection: whether this is the transaction with the end after which it dies.
        def cut?(moment)
          return false unless @condemned && @port.crash == moment && ended?(*@condemned.values_at(0, 2))

          @door.shut
          @cut = true
        end

        def ended?(step, attempt)
          sql = "SELECT 1 FROM tasker_workflow_steps WHERE workflow_step_id = #{step} AND attempts = #{attempt} " \
                "AND state = 'in_progress'"
          rows, = @session.ask(sql)
          rows.empty?
        end

        def die
          TaskerCore.subscriptions.detach(@announcer)
          @door.shut
          @session.reclaim do
            @connection.raw_connection.exec_params(OLD_HEARTBEAT, [@port.id])
          end
        end
      end
    end
  end
end
