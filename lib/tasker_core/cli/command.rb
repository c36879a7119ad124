# frozen_string_literal: true

require "etc"
require "optparse"
require_relative "output"
require_relative "usage_error"

module TaskerCore
  class CLI
    # A command of the command line: its words, its arguments, its options and what it does. A subclass sets
    # the constants and defines `call`; this class reads the arguments, checks them and writes the help.
    #
    # @example
    #   class Ping < Command
    #     NAME = "ping"
    #     SUMMARY = "say whether the database answers"
    #     EXAMPLES = ["tasker ping"].freeze
    #
    #     def call
    #       output.line("answered: schema #{client.schema_version}")
    #       OK
    #     end
    #   end
    class Command
      # Exit status: it worked.
      OK = 0
      # Exit status: the thing that was asked about failed.
      FAILED = 1
      # Exit status: refused, nothing was written.
      REFUSED = 2

      # The program that the command belongs to.
      PROGRAM = "tasker"
      # The command's words after the program; nil where the program is the command.
      NAME = nil
      # Names of the arguments: `ID` is required, `[STEP]` optional, `FILE...` one or more.
      ARGUMENTS = [].freeze
      # What the help says beyond the summary.
      DETAILS = ""
      # What is said of an option that there is not, by its name.
      HINTS = {}.freeze
      # What the help shows as examples; at least one.
      EXAMPLES = [].freeze

      # What options take that are numbers, in words.
      NUMBERS = { OptionParser::DecimalInteger => "a whole number", Float => "a number" }
                .transform_keys { |type| OptionParser::DefaultList.atype.fetch(type).first }.compare_by_identity.freeze
      private_constant :NUMBERS

      # @param output [Output] where results and notes go
      # @param input [IO] where "-" reads from
      def initialize(output:, input: $stdin)
        @output = output
        @input = input
        @options = {}
      end

      # Reads the arguments and does what they ask for.
      #
      # @param argv [Array<String>] the words after the command's name
      # @return [Integer] exit status
      # @raise [UsageError] an option or argument is not understood
      def run(argv)
        arguments = parse(argv)
        return help if @options[:help]

        check_number_of(arguments)
        call(*arguments)
      rescue UsageError => e
        e.see ? raise : refuse(e.message)
      end

      # Writes the help.
      #
      # @return [Integer] {OK}
      def help
        output.line(help_text)
        OK
      end

      # The one line that shows how the command is called.
      #
      # @return [String] for instance "tasker explain ID [STEP] [options]"
      def usage
        [program, *self.class::ARGUMENTS, "[options]"].join(" ")
      end

      private

      attr_reader :output, :input, :options

      # Overridden by commands that have options of their own.
      def define_options(parser); end

      def parse(argv)
        all = argv.map { |word| utf8(word) }
        words = all.take_while { |word| word != "--" }
        parser.parse(words.flat_map { |word| parted(word) }, into: @options) + all.drop(words.size + 1)
      rescue OptionParser::ParseError => e
        refuse(parse_message(e))
      end

      # `--limit=3` as two words: OptionParser 0.2, that of Ruby 3.1, refuses it where names have to be exact.
      def parted(word)
        name, value = word.split("=", 2)
        takes_value = value && parser.top.long[name.delete_prefix("--")].is_a?(OptionParser::Switch::RequiredArgument)
        takes_value && name.start_with?("--") ? [name, value] : [word]
      end

      # Arguments have the encoding of the locale, which is ASCII in many containers.
      def utf8(word)
        text = word.dup.force_encoding(Encoding::UTF_8)
        text.valid_encoding? ? text : refuse("argument #{word.dump} is not UTF-8")
      end

      def parser
        @parser ||= new_parser do |parser|
          define_options(parser)
          parser.on("--database-url URL", "database to use (default: DATABASE_URL, else the",
                    "configuration file, else the embedded Postgres)")
        end
      end

      # Whole numbers are decimal: OptionParser reads 010 as 8.
      def new_parser
        OptionParser.new(nil, 34) do |parser|
          parser.require_exact = true
          pattern, conversion = OptionParser::DefaultList.atype.fetch(OptionParser::DecimalInteger)
          parser.accept(Integer, pattern, &conversion)
          yield parser
          parser.on("-h", "--help", "show this help")
          parser.base.long.clear # OptionParser's own --version and completions
        end
      end

      def require_option(parser)
        parser.on("-r", "--require FILE", "load handlers and templates: a Ruby file, a YAML template or a",
                  "folder with both; may be given again") { |path| [*options[:require], path] }
      end

      def reason_option(parser)
        parser.on("--reason TEXT", "why, for the history (default: none)")
      end

      def json_option(parser)
        parser.on("--json", "print one JSON document (default: text for people)")
      end

      def json?
        options.fetch(:json, false)
      end

      def parse_message(error)
        [error.message.lines.first.chomp, advice(error)].compact.join("; ")
      end

      def advice(error)
        name = error.args.first.to_s[/\A[^=]*/]
        case error
        when OptionParser::InvalidOption then self.class::HINTS.fetch(name) { guess_option(name) }
        when OptionParser::InvalidArgument then allowed_of(name)
        end
      end

      def guess_option(name)
        guess = Internal::Suggestion.nearest(name, switches.flat_map(&:long))
        guess && "did you mean #{guess}?"
      end

      def allowed_of(name)
        pattern = switches.find { |switch| (switch.long + switch.short).include?(name) }&.pattern
        allowed = pattern.respond_to?(:keys) ? pattern.keys.join(", ") : NUMBERS[pattern]
        allowed && "allowed: #{allowed}"
      end

      def switches
        parser.top.list.grep(OptionParser::Switch)
      end

      def check_number_of(arguments)
        names = self.class::ARGUMENTS
        missing = names.reject { |name| name.start_with?("[") }[arguments.size]
        refuse("missing #{missing.delete(".")}") if missing
        extra = names.last.to_s.include?("...") ? nil : arguments[names.size]
        refuse("unexpected argument #{extra.inspect}") if extra
      end

      def refuse(message)
        raise UsageError.new(message, see: "#{program} --help")
      end

      def program
        [self.class::PROGRAM, self.class::NAME].compact.join(" ")
      end

      # Gives the block a client of the database that is to be used.
      def connected(&block)
        use_database
        Client.open(&block)
      end

      # Settles which database is used, for the whole process.
      def use_database
        TaskerCore.configure { |config| config.database_url = options[:"database-url"] } if options[:"database-url"]
        database = Database.resolve(TaskerCore.configuration)
        output.note("tasker: #{database.notice}") if database.notice
        TaskerCore.configure { |config| config.database_url = database.url }
      end

      # Whether the command has a Rails application, with its templates and handlers.
      def application?
        defined?(TaskerCore::Engine) && !Engine.templates.nil?
      end

      # Who works on this command line, for the history.
      def actor
        Etc.getpwuid&.name || "uid #{Process.uid}"
      rescue ArgumentError # This user has no entry: usual in containers.
        "uid #{Process.uid}"
      end

      def id?(text)
        text.match?(/\A[0-9]+\z/)
      end

      def id_from(text)
        id?(text) ? Internal::Check.id(text.to_i) : Internal::Check.id(text)
      end

      def help_text
        sections = ["Usage: #{usage}", sentence(self.class::SUMMARY), self.class::DETAILS.strip,
                    "Options:\n#{parser.summarize.join.chomp}",
                    "Examples:\n#{self.class::EXAMPLES.map { |line| "    #{line}" }.join("\n")}"]
        sections.reject(&:empty?).join("\n\n")
      end

      def sentence(text)
        "#{text[0].upcase}#{text[1..]}."
      end
    end
  end
end
