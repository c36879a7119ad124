# frozen_string_literal: true

require_relative "../tasker_core"
require_relative "cli/usage_error"
require_relative "cli/output"
require_relative "cli/command"
require_relative "cli/overview"
require_relative "cli/failure"
require_relative "cli/migrate"
require_relative "cli/work"
require_relative "cli/submit"
require_relative "cli/status"
require_relative "cli/artifacts"
require_relative "cli/result"
require_relative "cli/cancel"
require_relative "cli/pause"
require_relative "cli/resume"
require_relative "cli/retry"
require_relative "cli/compensate"
require_relative "cli/skip"
require_relative "cli/rerun"
require_relative "cli/fork"
require_relative "cli/resolve"
require_relative "cli/budget"
require_relative "cli/send_signal"
require_relative "cli/approve"
require_relative "cli/reject"
require_relative "cli/explain"
require_relative "cli/failures"
require_relative "cli/expire"
require_relative "cli/events"
require_relative "cli/list"
require_relative "cli/workers"
require_relative "cli/templates_list"
require_relative "cli/templates_validate"
require_relative "cli/templates_diff"
require_relative "cli/doctor"
require_relative "cli/prune"
require_relative "cli/db"

module TaskerCore
  # The command line: `tasker`. Finds the command, runs it, and turns what goes wrong into one line on the error
  # stream and an exit status.
  #
  # @example
  #   exit TaskerCore::CLI.start(ARGV)
  class CLI
    # name => class, in the order of the help.
    COMMANDS = [Migrate, Work, Submit, Status, Result, Artifacts, Cancel, Pause, Resume, Retry, Compensate, Skip,
                Resolve, Rerun, Fork, Budget, SendSignal, Approve, Reject, Explain, Failures, List, Events, Workers,
                TemplatesList, TemplatesValidate, TemplatesDiff, Doctor, Expire, Prune,
                Db].to_h { |command| [command::NAME, command] }.freeze

    # exit status => what it says.
    EXIT_STATUSES = {
      Command::OK => "it worked",
      Command::FAILED => "what was asked about failed: the task ended in error, was cancelled or is blocked, " \
                         "the time ran out, the doctor found something, one of many refused",
      Command::REFUSED => "refused, nothing was written: wrong usage, bad input, an id that does not exist, " \
                          "no database, a schema of another version",
      130 => "interrupted with Ctrl-C"
    }.freeze

    # Runs one command line.
    #
    # @param argv [Array<String>] the words after `tasker`
    # @param out [IO] stream of the results. Default: $stdout.
    # @param err [IO] stream of notes and errors. Default: $stderr.
    # @param input [IO] where "-" reads from. Default: $stdin.
    # @param env [Hash{String => String}] NO_COLOR, TERM and TASKER_DEBUG are read. Default: ENV.
    # @return [Integer] exit status, a key of {EXIT_STATUSES}
    # @example
    #   TaskerCore::CLI.start(%w[status 42 --json]) # => 0
    def self.start(argv, out: $stdout, err: $stderr, input: $stdin, env: ENV)
      output = Output.new(out: out, err: err, env: env)
      Failure.new(output, debug: env["TASKER_DEBUG"] == "1").guard { new(output, input).run(argv) }
    end

    # @param output [Output]
    # @param input [IO]
    def initialize(output, input)
      @output = output
      @input = input
    end

    # Finds the command and runs it.
    #
    # @param argv [Array<String>]
    # @return [Integer] exit status
    # @raise [UsageError] there is no such command
    # @example
    #   TaskerCore::CLI.new(CLI::Output.new, $stdin).run(["--version"]) # => 0
    def run(argv)
      case argv.first
      when nil, "--help", "-h" then overview.show
      when "help" then help_on(argv.drop(1))
      when "--version", "-v" then version
      else command_for(argv)
      end
    end

    private

    def overview
      Overview.new(@output, COMMANDS, EXIT_STATUSES)
    end

    def version
      @output.line("tasker_core #{VERSION}")
      Command::OK
    end

    def help_on(words)
      return overview.show if words.empty?

      command_for([*words, "--help"])
    end

    def command_for(argv)
      name = [argv.first(2).join(" "), argv.first].find { |words| COMMANDS.key?(words) }
      return build(name).run(argv.drop(name.split.size)) if name
      return overview.show_group(argv.first) if (argv.drop(1) - %w[-h --help]).empty? && group?(argv.first)

      unknown(group?(argv.first) ? argv.first(2).join(" ") : argv.first)
    end

    def build(name)
      COMMANDS.fetch(name).new(output: @output, input: @input)
    end

    def group?(word)
      COMMANDS.keys.any? { |name| name.start_with?("#{word} ") }
    end

    def unknown(name)
      return unknown_option(name) if name.start_with?("-")

      nearest = Internal::Suggestion.sentence(name, COMMANDS.keys + ["help"])
      raise UsageError.new("unknown command #{name.inspect}#{nearest}", see: "tasker help")
    end

    # The dashes that all have in common make no word near another.
    def unknown_option(name)
      nearest = Internal::Suggestion.nearest(name.delete_prefix("--"), %w[help version])
      hint = nearest ? "did you mean \"--#{nearest}\"?" : "those of a command stand behind it: tasker COMMAND [options]"
      raise UsageError.new("unknown option #{name.inspect}; #{hint}", see: "tasker help")
    end
  end
end
