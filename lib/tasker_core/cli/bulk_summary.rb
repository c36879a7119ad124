# frozen_string_literal: true

require_relative "format"

module TaskerCore
  class CLI
    # Shows people what became of a request about many tasks or steps.
    class BulkSummary
      # What was done, in the past.
      PAST = { "retry" => "retried", "skip" => "skipped", "cancel" => "cancelled", "pause" => "paused",
               "resume" => "resumed", "rerun" => "reran", "resolve" => "resolved", "fork" => "forked",
               "compensate" => "undid", "raise the budget of" => "raised the budget of" }.freeze
      # Most refusals that are listed.
      SHOWN = 20
      # Titles of the columns.
      REFUSED = %w[TASK STEP REASON].freeze
      EXAMPLES = %w[TASK STEP].freeze
      FAILED = %w[TASK STEP ERROR MESSAGE].freeze

      # @param output [Output]
      # @param noun [String] what is counted: "step" or "task"
      def initialize(output, noun)
        @output = output
        @noun = noun
      end

      # One line about how far it is.
      #
      # @param report [BulkReport]
      # @return [String] for instance "retried 12 steps, 1 had gone on, 2 refused"
      # @example
      #   summary.text(report)
      def text(report)
        ["#{PAST.fetch(report.action)} #{Format.many(report.done, @noun)}", canary(report),
         *left(report)].compact.join(", ")
      end

      # Writes the end.
      #
      # @param report [BulkReport]
      # @return [void]
      # @example
      #   summary.show(TaskerCore.retry_all)
      def show(report)
        return @output.line("nothing matches") if report.matched.zero?
        return show_dry_run(report) if report.dry_run

        @output.line(text(report))
        show_stop(report) if report.stopped
        show_refused(report.refused) if report.refused.any?
      end

      private

      # Those with which it is not done.
      def left(report)
        why = report.action == "fork" ? "had one" : "had gone on"
        gone_on = "#{Format.count(report.gone_on)} #{why}" if report.gone_on.positive?
        refused = "#{Format.count(report.refused.size)} refused" if report.refused.any?
        [gone_on, refused].compact
      end

      def canary(report)
        return unless report.canary

        "of the first #{report.canary["steps"]}: " \
          "#{%w[complete failed open].map { |key| "#{report.canary[key]} #{key}" }.join(", ")}"
      end

      def show_dry_run(report)
        @output.line("#{["would #{report.action} #{Format.many(report.doable, @noun)}", *left(report)].join(", ")}:")
        @output.table(EXAMPLES, report.examples.map { |one| place(one) }, right: [0]) if report.examples.any?
        more(report.doable - report.examples.size)
        show_refused(report.refused) if report.refused.any?
      end

      def show_stop(report)
        @output.line("stopped: #{report.stopped}; the others were left alone")
        rows = report.canary["failures"].map do |one|
          [one[:task_id], *one.values_at(:step, :error, :message).map { |text| Format.clean(text || Format::NOTHING) }]
        end
        @output.table(FAILED, rows, right: [0]) if rows.any?
      end

      def show_refused(refused)
        rows = refused.first(SHOWN).map { |one| [*place(one), Format.clean(one["message"].lines.first.to_s.chomp)] }
        @output.table(REFUSED, rows, right: [0])
        more(refused.size - rows.size)
      end

      def more(number)
        @output.line("and #{Format.count(number)} more") if number.positive?
      end

      def place(one)
        [one["task_id"], one["step"] ? Format.clean(one["step"]) : Format::NOTHING]
      end
    end
  end
end
