# frozen_string_literal: true

require_relative "command"
require_relative "failure_options"
require_relative "format"
require_relative "task_report"

module TaskerCore
  class CLI
    # `tasker failures`: the steps that are in error or blocked.
    class Failures < Command
      include FailureOptions

      NAME = "failures"
      SUMMARY = "list the steps that are in error or blocked and hold their tasks up"
      DETAILS = <<~TEXT
        Those of the newest tasks first. Each line says what can be done about the step: tasker retry, resolve or skip.
        Steps of tasks that have completed all the same, or were cancelled, are not listed.

        With --group they are counted by template, step, state and class of the exception, the largest group first. Items
        of a map step, and steps that were added, count as the step of the template that executes them.
      TEXT
      EXAMPLES = ["tasker failures --since 2h --group",
                  "tasker failures --name order_fulfilment --error Net::ReadTimeout",
                  "tasker failures --state blocked --json | jq -r '.[].task_id'"].freeze
      # Failures that are listed where nobody says how many.
      DEFAULT_LIMIT = 20

      # Titles of the columns, and those that stand at the right.
      HEADER = %w[TASK STEP STATE TRIES SINCE REMEDIES ERROR MESSAGE].freeze
      NUMBERS = [0, 3].freeze
      # The same of groups.
      GROUP_HEADER = %w[COUNT TEMPLATE STEP STATE ERROR LAST TASK MESSAGE].freeze
      GROUP_NUMBERS = [0, 6].freeze

      # Writes the failures, or how many there are of each kind.
      #
      # @return [Integer] exit status
      def call
        options[:group] ? groups : failures
        OK
      end

      private

      def define_options(parser)
        failure_options(parser)
        parser.on("--group", "count them by what they have in common")
        parser.on("--limit N", Integer, "steps to list, 1..#{Client::Failures::PAGE} (default: #{DEFAULT_LIMIT})")
        parser.on("--before ID", Integer, "list those that come after the one with this id")
        json_option(parser)
      end

      def check_number_of(arguments)
        super
        wrong = options[:group] && (options.keys & %i[limit before]).first
        refuse("--#{wrong} does not go with --group") if wrong
      end

      def failures
        limit = options.fetch(:limit, DEFAULT_LIMIT)
        found = connected { |client| client.failures(limit: limit, before: options[:before], **failure_filter) }
        return output.json(found.map(&:to_h)) if json?
        return output.line("no failures") if found.empty?

        show(found)
        output.line(output.style.faint("more: --before #{found.last.step_id}")) if found.size == limit
      end

      def show(found)
        output.table(HEADER, found.map { |failure| row(failure) }, right: NUMBERS)
      end

      def row(failure)
        [failure.task_id, Format.clean(failure.step), output.style.state(failure.state), Format.count(failure.attempts),
         Format.age(failure.failed_at), failure.remedies.join(" "), Format.clean(failure.error || Format::NOTHING),
         Format.clean(failure.message)]
      end

      def groups
        found = connected { |client| client.failure_groups(**failure_filter) }
        return output.json(found.map { |group| group_json(group) }) if json?
        return output.line("no failures") if found.empty?

        output.table(GROUP_HEADER, found.map { |group| group_row(group) }, right: GROUP_NUMBERS)
      end

      def group_json(group)
        group.transform_values { |value| value.is_a?(Time) ? value.iso8601(6) : value }
      end

      def group_row(group)
        step, error, message = group.values_at("step", "error", "message")
        [Format.count(group["count"]), TaskReport.template_name(*group.values_at("namespace", "name", "version")),
         Format.clean(step), output.style.state(group["state"]), Format.clean(error || Format::NOTHING),
         Format.age(group["last_at"]), group["task_id"], Format.clean(message)]
      end
    end
  end
end
