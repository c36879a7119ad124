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
      # Tasks that are asked for one by one, and those that are asked for at once at most.
      FEW = 10
      MOST = 1_000
      # A worker that is quick to find work and to end.
      QUICK = { concurrency: 2, heartbeat_interval: 0.1 }.freeze

      module_function

      # @param options [Hash{Symbol => Object}] of {Worker}
      # @yieldparam pause [#call] waits while a worker executes steps
      # @return [Object] what the block returned
      def working(**options)
        worker = Worker.new(**QUICK, **options).start
        yield(-> { sleep(LOOK) })
      ensure
        worker&.stop
        worker&.wait
      end

      # @param task_ids [Array<Integer>]
      # @param timeout [Numeric] seconds, for each
      # @param options (see #rest)
      # @yield between two looks
      # @return [Array<TaskStatus>] once nothing of the tasks goes on by itself
      # @raise [TimeoutError]
      def rest_all(task_ids, timeout, clock, skip_time:, &pause)
        found = {}
        task_ids.sort.each_with_index do |task_id, asked|
          found.update(settled_from(task_id)) if (asked % FEW) == FEW - 1 && !found.key?(task_id)
          found[task_id] ||= rest(task_id, timeout, clock, skip_time: skip_time, &pause)
        end
        found.values_at(*task_ids)
      end

      # Those of the next ones that have ended, with one question for all: most do while the first one is waited for.
      #
      # @api private
      def settled_from(task_id)
        page = TaskerCore.client.list(limit: MOST, before: task_id + MOST)
        page.select(&:settled?).to_h { |status| [status.task_id, status] }
      end

      # @param task_id [Integer]
      # @param timeout [Numeric] seconds
      # @param clock [Clock] the engine's
      # @param skip_time [Boolean] the clock is put ahead where the task waits for a time
      # @yield between two looks
      # @return [TaskStatus] once nothing of the task goes on by itself
      # @raise [TimeoutError]
      def rest(task_id, timeout, clock, skip_time:)
        by = Internal::Clock.seconds + timeout
        loop do
          status = TaskerCore.status(task_id)
          return status if status.settled? || rests?(status, clock, skip_time)
          raise late(status, timeout) if Internal::Clock.seconds > by

          yield
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
