# frozen_string_literal: true

require_relative "age"
require_relative "command"
require_relative "format"
require_relative "running_text"

module TaskerCore
  class CLI
    # `tasker prune`: deletes tasks that ended long ago.
    class Prune < Command
      NAME = "prune"
      SUMMARY = "delete tasks that ended long ago, with their history"
      DETAILS = <<~TEXT
        An AGE is a whole number and a unit: s, m (minutes), h, d or w. It counts from the end of a task; tasks that
        have not ended always stay. Tasks in error stay unless --errors-older-than is given.

        Deletes in small batches that hold up no worker, and pauses between them. When it is interrupted, what was
        deleted stays deleted, and the next pruning goes on. Workers prune by themselves: see tasker work --help.
        Deletes the records of workers that ended more than a day ago as well.
      TEXT
      EXAMPLES = ["tasker prune --older-than 30d", "tasker prune --older-than 30d --errors-older-than 26w --dry-run",
                  "tasker prune --older-than 0s --json   # everything that has completed or was cancelled"].freeze

      # Prunes.
      #
      # @return [Integer] exit status
      def call
        ages = limits
        report = connected { |client| client.prune(**ages, dry_run: dry_run?) { |so_far| tell(so_far) } }
        running_text.clear
        json? ? output.json(report) : output.line(summary(report))
        OK
      end

      private

      def define_options(parser)
        parser.on("--older-than AGE", "delete complete, cancelled and resolved tasks that ended",
                  "longer ago than this")
        parser.on("--errors-older-than AGE", "the same for tasks in error")
        parser.on("--dry-run", "delete nothing, say how much it would be")
        json_option(parser)
      end

      def limits
        ages = { older_than: age(:"older-than"), errors_older_than: age(:"errors-older-than") }
        return ages if ages.values.any?

        refuse("missing --older-than AGE or --errors-older-than AGE, for instance --older-than 30d")
      end

      def age(option)
        text = options[option]
        text && Age.seconds("--#{option}", text)
      end

      def dry_run?
        options.fetch(:"dry-run", false)
      end

      def tell(so_far)
        running_text.show("pruning: #{amount(so_far)}") unless json?
      end

      def running_text
        @running_text ||= RunningText.new(output)
      end

      def summary(report)
        return "nothing to delete" if report.values_at("tasks", "rows", "workers").all?(&:zero?)

        "#{report["dry_run"] ? "would delete" : "deleted"} #{amount(report)}"
      end

      def amount(report)
        amount = "#{Format.many(report["tasks"], "task")} with #{Format.many(report["steps"], "step")}"
        return amount if report["dry_run"]

        "#{amount} (#{Format.many(report["rows"], "row")}), #{Format.many(report["workers"], "worker record")}"
      end
    end
  end
end
