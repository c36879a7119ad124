# frozen_string_literal: true

require_relative "command"
require_relative "format"
require_relative "usage_error"

module TaskerCore
  class CLI
    # What a command line ends with when something goes wrong: one line on the error stream, an exit status, and
    # no stack trace unless somebody asked for it.
    class Failure
      # Exit status after Ctrl-C, as shells have it: 128 + SIGINT.
      INTERRUPTED = 130

      # Errors that are nobody's input: the work failed.
      NOT_REFUSED = [DatabaseError, InternalError, TimeoutError].freeze

      # @param output [Output] where the line goes
      # @param debug [Boolean] shows the stack trace too. Default: false.
      # @param program [String] name before the message. Default: "tasker".
      def initialize(output, debug: false, program: "tasker")
        @output = output
        @debug = debug
        @program = program
      end

      # Runs the block; gives its exit status, or that of what went wrong in it.
      #
      # @yieldreturn [Integer] exit status
      # @return [Integer] exit status
      # @example
      #   failure.guard { command.run(argv) }
      def guard
        yield
      rescue UsageError => e
        tell(e, hint: "see: #{e.see}")
      rescue Error => e
        tell(e, status: NOT_REFUSED.any? { |type| e.is_a?(type) } ? Command::FAILED : Command::REFUSED)
      rescue Interrupt
        INTERRUPTED
      rescue Errno::EPIPE
        Command::OK # The reader has seen enough and went away.
      rescue SystemCallError => e
        tell(e, text: "the system refused: #{e.message}", status: Command::FAILED, hint: place_hint)
      rescue StandardError => e
        tell(e, text: "unexpected #{e.class}: #{e.message.lines.first.to_s.chomp}", status: Command::FAILED,
                hint: debug_hint)
      end

      private

      def tell(error, text: error.message, status: Command::REFUSED, hint: nil)
        lines = text.lines.map { |line| Format.clean(line.chomp) }
        @output.note("#{@program}: #{lines.join("\n  ")}")
        @output.note("  #{hint}") if hint
        @output.note(error.full_message(highlight: false)) if @debug
        status
      end

      def debug_hint
        "this is a defect; #{place_hint}" unless @debug
      end

      def place_hint
        "run it again with TASKER_DEBUG=1 to see where" unless @debug
      end
    end
  end
end
