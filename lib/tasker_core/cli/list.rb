# frozen_string_literal: true

require_relative "command"
require_relative "task_options"
require_relative "task_report"

module TaskerCore
  class CLI
    # `tasker list`: the latest tasks.
    class List < Command
      include TaskOptions

      NAME = "list"
      SUMMARY = "list tasks, the latest first"
      EXAMPLES = ["tasker list --state error", "tasker list --name order_fulfilment --limit 5 --json"].freeze
      # Tasks that are listed where nobody says how many.
      DEFAULT_LIMIT = 20
      # Most tasks that one call lists.
      MAX_LIMIT = 1000

      # Titles of the columns.
      HEADER = %w[ID STATE STEPS TOOK REQUESTED TEMPLATE].freeze
      # Columns that stand at the right.
      NUMBERS = [0, 2, 3].freeze

      # Writes the tasks.
      #
      # @return [Integer] exit status
      def call
        check_limit
        statuses = connected { |client| client.list(**filter) }
        json? ? output.json(statuses.map(&:to_h)) : show(statuses)
        OK
      end

      private

      def define_options(parser)
        task_options(parser)
        parser.on("--limit N", Integer, "tasks to list, 1..#{MAX_LIMIT} (default: #{DEFAULT_LIMIT})")
        json_option(parser)
      end

      def filter
        { limit: limit }.merge(task_filter)
      end

      def limit
        options.fetch(:limit, DEFAULT_LIMIT)
      end

      def check_limit
        refuse("--limit must be from 1 to #{MAX_LIMIT}, got #{limit}") unless limit.between?(1, MAX_LIMIT)
      end

      def show(statuses)
        return output.line("no tasks") if statuses.empty?

        output.table(HEADER, statuses.map { |status| row(status) }, right: NUMBERS)
      end

      def row(status)
        report = TaskReport.new(output)
        [status.task_id, output.style.state(status.state), Format.count(status.steps_total), report.took(status),
         Format.age(status.requested_at), template(status, report)]
      end

      def template(status, report)
        from = status.forked_from
        "#{report.template(status)}#{" (fork of #{from["task_id"]})" if from}"
      end
    end
  end
end
