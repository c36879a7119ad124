# frozen_string_literal: true

require "optparse"

# What the micro benches have in common.
module Micro
  # The command line of a micro bench.
  class Options
    # Exit status after bad input.
    BAD_INPUT = 2
    # Default number of steps that go through the database.
    STEPS = 20_000
    # Default number of the worker's threads, that of {TaskerCore::Worker}.
    THREADS = 5

    # @return [Integer]
    attr_reader :steps, :threads

    # Ends the process with status 2 and a message on the error stream when an argument is not allowed.
    #
    # @param arguments [Array<String>]
    # @param what [String] what the bench measures, for `--help`
    # @example
    #   options = Micro::Options.new(ARGV, what: "What a call costs.")
    def initialize(arguments, what:)
      @steps = STEPS
      @threads = THREADS
      rest = parser(what).parse(arguments)
      raise OptionParser::NeedlessArgument, rest.first if rest.any?
    rescue OptionParser::ParseError => e
      warn("#{File.basename($PROGRAM_NAME)}: #{e.message}; --help shows what is allowed")
      exit(BAD_INPUT)
    end

    private

    def parser(what)
      OptionParser.new do |parser|
        parser.banner = "#{what} The last line of the output is a JSON object.\n" \
                        "Usage: #{$PROGRAM_NAME} [--steps N] [--threads N]\n" \
                        "TASKER_TEST_DATABASE_URL may name a server; otherwise one is started and removed again."
        parser.on("--steps N", "1 or more; default #{STEPS}") { |text| @steps = positive(text) }
        parser.on("--threads N", "of the worker, 1 to 64; default #{THREADS}") { |text| @threads = positive(text, 64) }
      end
    end

    def positive(text, most = 1_000_000)
      number = Integer(text, 10, exception: false)
      return number if number&.between?(1, most)

      raise OptionParser::InvalidArgument, "#{text} (allowed: a whole number from 1 to #{most})"
    end
  end
end
