# frozen_string_literal: true

require "json"
require_relative "format"
require_relative "usage_error"

module TaskerCore
  class CLI
    # A value that a command line gives as JSON, as the name of a file that holds it ("@order.json"), or on the
    # standard input ("-").
    class JsonArgument
      # Deepest nesting of arrays and objects.
      MAX_DEPTH = Internal::JsonText::MAX_DEPTH

      # @param option [String] the option's name, for messages
      # @param argument [String] what was given
      def initialize(option, argument)
        @option = option
        @argument = argument
      end

      # @param input [IO] where "-" reads from
      # @return [Object]
      # @raise [UsageError] a file that cannot be read, or what is not UTF-8 or not JSON
      # @example
      #   JsonArgument.new("--context", "{}").read($stdin) # => {}
      def read(input)
        text = text_from(input).dup.force_encoding(Encoding::UTF_8)
        refuse("is not valid UTF-8") unless text.valid_encoding?
        refuse("is empty; allowed: JSON, for instance {}") if text.strip.empty?
        JSON.parse(text, max_nesting: MAX_DEPTH)
      rescue JSON::NestingError
        refuse("is nested deeper than the #{MAX_DEPTH} levels allowed")
      rescue JSON::ParserError => e
        refuse("is not JSON: #{Format.cut(e.message.lines.first.to_s.strip.sub(/\A\d+: /, ""), 120)}")
      end

      # @param input [IO] where "-" reads from
      # @return [Hash{String => Object}]
      # @raise [UsageError] as {#read}, and what is no JSON object
      # @example
      #   JsonArgument.new("--context", "{}").read_object($stdin) # => {}
      def read_object(input)
        value = read(input)
        value.is_a?(Hash) ? value : refuse("must be a JSON object, got #{Format.cut(JSON.generate(value), 60)}")
      end

      private

      def text_from(input)
        return input.read if @argument == "-"
        return @argument unless @argument.start_with?("@")

        File.binread(@argument[1..])
      rescue SystemCallError => e
        refuse("cannot be read: #{e.message[/\A[^@]+/].strip}")
      end

      def refuse(problem)
        raise UsageError, "#{[@option, source].compact.join(" ")} #{problem}"
      end

      def source
        return "- (standard input)" if @argument == "-"

        @argument if @argument.start_with?("@")
      end
    end
  end
end
