# frozen_string_literal: true

require_relative "bulk_summary"
require_relative "rate"
require_relative "running_text"
require_relative "steering_command"

module TaskerCore
  class CLI
    # A command by which an operator asks something of one task, or with `--all` of all tasks or steps that options
    # describe. A subclass defines `one`, `all`, `bulk_options` and what is counted.
    class BulkSteeringCommand < SteeringCommand
      # What `--all` counts.
      NOUN = "task"
      # Options that go without `--all`.
      OF_ONE = %i[reason json database-url help].freeze
      # Options that `--all` needs.
      NEEDED = [].freeze
      # `--where`, as it is asked for elsewhere.
      HINTS = { "--where" => "--all means all that options such as --name, --state and --tag describe" }.freeze
      # What the help says of `--all`.
      ALL = <<~TEXT.chomp
        With --all it is done with all that the options describe, each by itself: one that refuses does not stop the
        others. Exit status 1 when one refused. What it was done with is not meant again when the command is repeated.
      TEXT

      # Asks it of one task, or of all that are meant.
      #
      # @param arguments [Array<String>] as {ARGUMENTS} says; none with `--all`
      # @return [Integer] exit status
      def call(*arguments)
        options[:all] ? steer_all : one(*arguments)
      end

      # The two lines that show how the command is called.
      #
      # @return [String]
      def usage
        "#{super}\n       #{program} --all [options]"
      end

      private

      def define_options(parser)
        super
        parser.on("--all", "all that the following options describe, instead of ID")
        bulk_options(parser)
        many_options(parser)
      end

      def many_options(parser)
        parser.on("--rate N/s", "how many a second (/s), minute (/m) or hour (/h) at most",
                  "(default: as fast as they can be)")
        parser.on("--dry-run", "change nothing, say how many it would be")
      end

      def check_number_of(arguments)
        if options[:all]
          refuse("unexpected argument #{arguments.first.inspect} beside --all") if arguments.any?
          missing = self.class::NEEDED.find { |option| !options.key?(option) }
          refuse("--all needs --#{missing}") if missing
        else
          wrong = (options.keys - self.class::OF_ONE).first
          refuse("--#{wrong} goes with --all") if wrong
          super
        end
      end

      def steer_all
        request = bulk_request
        report = connected { |client| all(client, request) { |so_far| tell(so_far) } }
        running_text.clear
        json? ? output.json(report.to_h) : summary.show(report)
        report.ok? ? OK : FAILED
      end

      def bulk_request
        rate = options[:rate]
        { actor: actor, reason: options[:reason], dry_run: options.fetch(:"dry-run", false),
          rate: rate && Rate.per_second("--rate", rate) }
      end

      def tell(so_far)
        running_text.show(summary.text(so_far)) unless json?
      end

      def running_text
        @running_text ||= RunningText.new(output)
      end

      def summary
        @summary ||= BulkSummary.new(output, self.class::NOUN)
      end
    end
  end
end
