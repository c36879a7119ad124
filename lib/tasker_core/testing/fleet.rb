# frozen_string_literal: true

require_relative "../errors"
require_relative "../internal/clock"
require_relative "../worker"
require_relative "picture"

module TaskerCore
  module Testing
    # Workers of the process that tests, on the database of the configuration.
    module Fleet
      # Seconds that tasks have to come to rest.
      PATIENCE = 30
      # Seconds between two looks.
      LOOK = 0.01
      # A worker that is quick to find work and to end.
      QUICK = { concurrency: 2, heartbeat_interval: 0.1 }.freeze

      module_function

      # @param options [Hash{Symbol => Object}] of {Worker}
      # @yield while a worker executes steps
      # @return [Object] what the block returned
      def working(**options)
        worker = Worker.new(**QUICK, **options).start
        yield
      ensure
        worker&.stop
        worker&.wait
      end

      # @param task_id [Integer]
      # @param timeout [Numeric] seconds
      # @param clock [Clock] the engine's
      # @param skip_time [Boolean] the clock is put ahead where the task waits for a time
      # @return [TaskStatus] once nothing of the task goes on by itself
      # @raise [TimeoutError]
      def rest(task_id, timeout, clock, skip_time:)
        by = Internal::Clock.seconds + timeout
        loop do
          status = TaskerCore.status(task_id)
          return status if status.settled? || rests?(status, clock, skip_time)
          raise late(status, timeout) if Internal::Clock.seconds > by

          sleep(LOOK)
        end
      end

      # @api private
      def rests?(status, clock, skip_time)
        return false unless status.state == "waiting"

        retrying = status.steps_by_state.key?("waiting_for_retry")
        return false if (retrying && !skip_time) || goes_on?(status.task_id, clock, skip_time)

        !begun_since?(status)
      end

      # Whether a step can be claimed, or will be at a time that is skipped.
      #
      # @api private
      def goes_on?(task_id, clock, skip_time)
        seconds = clock.next_due_in(task_id)
        clock.advance(seconds) if skip_time && seconds&.positive?
        skip_time ? !seconds.nil? : seconds&.zero?
      end

      # Whether a step was claimed between two looks.
      #
      # @api private
      def begun_since?(status)
        TaskerCore.status(status.task_id).attempts_total > status.attempts_total
      end

      # @api private
      def late(status, timeout)
        TimeoutError.new("task #{status.task_id} is #{status.state} after #{timeout} s:\n#{Picture.of(status.task_id)}",
                         details: { "task_id" => status.task_id, "state" => status.state })
      end
    end
  end
end
