# frozen_string_literal: true

require "json"
require_relative "command"
require_relative "format"
require_relative "task_report"

module TaskerCore
  class CLI
    # `tasker result`: what the steps of a task gave.
    class Result < Command
      NAME = "result"
      SUMMARY = "show what each step of a task gave"
      ARGUMENTS = %w[ID [STEP]].freeze
      DETAILS = <<~TEXT
        With STEP it writes that step's results alone, as JSON; an item of a map step is named as in resize[7].
        With --items it lists all items of the map step STEP, with --json one JSON document a line for each.
        Exit status 1 when the task ended in error, was cancelled or is blocked.
      TEXT
      EXAMPLES = ["tasker result 42", "tasker result 42 ship_order", "tasker result 42 'resize[7]'",
                  "tasker result 42 resize --items --json", "tasker result 42 --json"].freeze

      # Titles of the columns.
      HEADER = %w[STEP STATE TRIES TOOK RESULTS].freeze
      # Titles of the columns of items.
      ITEMS_HEADER = %w[ITEM STATE TRIES VALUE RESULTS].freeze
      # Items that are read at a time, and stand in a table; fewer where they are large.
      PART = 1_000

      # Writes the results.
      #
      # @param id [String] task id
      # @param step [String, nil] name of a step
      # @return [Integer] exit status
      def call(id, step = nil)
        task_id = id_from(id)
        refuse("--items needs STEP, a map step") if options[:items] && !step
        connected do |client|
          result = client.result(task_id, step: step)
          options[:items] ? write_items(client, task_id, step) : write(result, step)
          TaskReport.exit_status(result.state)
        end
      end

      private

      def define_options(parser)
        parser.on("--items", "list the items of the map step STEP")
        json_option(parser)
      end

      def write_items(client, task_id, step)
        return write_lines(client.each_item(task_id, step, batch: PART)) if json?

        after = nil
        until (part = client.items(task_id, step, after: after, limit: PART)).empty?
          output.table(ITEMS_HEADER, part.map { |item| item_row(item) }, right: [0, 2])
          after = part.last.index
        end
      end

      def write_lines(items)
        items.each { |item| output.line(JSON.generate(item.to_h, max_nesting: 0)) }
      end

      def item_row(item)
        [Format.count(item.index), output.style.state(item.state), Format.count(item.attempts),
         Format.json_line(item.item), Format.json_line(item.results)]
      end

      def write(result, step)
        return output.json(result.results_of(step)) if step
        return output.json(result.to_h) if json?

        output.line(heading(result))
        output.table(HEADER, result.steps.map { |one| row(one) }, right: [2, 3])
      end

      def heading(result)
        priority = "priority #{result.priority}" unless result.priority.zero?
        [output.style.bold("task #{result.task_id}"), output.style.state(result.state), priority].compact.join("  ")
      end

      def row(step)
        milliseconds = step.execution_ms
        [Format.clean(step.name), output.style.state(step.state), Format.count(step.attempts),
         Format.duration(milliseconds && (milliseconds / 1000.0)), outcome(step)]
      end

      def outcome(step)
        return item_counts(step.items) if step.items && !step.complete?
        return Format.json_line(step.results) unless step.error

        output.style.paint(Format.clean(step.error.values_at("class", "message").compact.join(": ")), :red)
      end

      def item_counts(by_state)
        "#{Format.count(by_state.values.sum)} items: " +
          by_state.sort.map { |state, count| "#{Format.count(count)} #{state}" }.join(", ")
      end
    end
  end
end
