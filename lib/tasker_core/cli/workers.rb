# frozen_string_literal: true

require_relative "command"
require_relative "format"

module TaskerCore
  class CLI
    # `tasker workers`: the processes that execute steps.
    class Workers < Command
      NAME = "workers"
      SUMMARY = "list the worker processes and what they hold"
      EXAMPLES = ["tasker workers", "tasker workers --json"].freeze

      # Titles of the columns.
      HEADER = %w[ID STATE HOST PID THREADS CLAIMS HEARTBEAT STARTED QUEUES].freeze
      # Columns that stand at the right.
      NUMBERS = [0, 3, 4, 5].freeze

      # Writes the workers.
      #
      # @return [Integer] exit status
      def call
        workers = connected(&:workers)
        json? ? output.json(workers) : show(workers)
        OK
      end

      private

      def define_options(parser)
        json_option(parser)
      end

      def show(workers)
        return output.line("no workers") if workers.empty?

        output.table(HEADER, workers.map { |worker| row(worker) }, right: NUMBERS)
      end

      def row(worker)
        [worker["worker_id"], Format.clean(worker["state"]), Format.clean(worker["host"]), worker["pid"],
         worker["concurrency"], worker["claims"], Format.age(worker["heartbeat_at"]),
         Format.age(worker["started_at"]), queues(worker["queues"])]
      end

      def queues(names)
        names.nil? || names.empty? ? "all" : Format.clean(names.join(", "))
      end
    end
  end
end
