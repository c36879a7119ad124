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
      # States of steps that go on by themselves.
      GOING_ON = %w[enqueued in_progress waiting_for_retry].freeze

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
      # @return [TaskStatus] once nothing of the task goes on by itself
      # @raise [TimeoutError]
      def rest(task_id, timeout)
        by = Internal::Clock.seconds + timeout
        loop do
          status = TaskerCore.status(task_id)
          return status if rests?(status)
          raise late(status, timeout) if Internal::Clock.seconds > by

          sleep(LOOK)
        end
      end

      # @api private
      def rests?(status)
        status.settled? || (status.state == "waiting" && (status.steps_by_state.keys & GOING_ON).empty? &&
          status.children.all? { |child| rests?(TaskerCore.status(child.fetch("task_id"))) })
      end

      # @api private
      def late(status, timeout)
        TimeoutError.new("task #{status.task_id} is #{status.state} after #{timeout} s:\n#{Picture.of(status.task_id)}",
                         details: { "task_id" => status.task_id, "state" => status.state })
      end
    end
  end
end
