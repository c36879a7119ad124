# frozen_string_literal: true

require "psych"
require_relative "../errors"

module TaskerCore
  module Internal
    # Builds plain data (nil, true, false, numbers, text, arrays, hashes with text keys) from the events of a YAML
    # text and refuses all else: tags, anchors and aliases, keys given twice, keys that are not text, dates and
    # symbols, a second document, deep nesting. Unlike Psych.safe_load it knows the line of what it refuses, does
    # not let the last of two equal keys win, and stops a text that nests too deeply before anything is built.
    class YamlBuilder < Psych::Handler
      # Levels of nesting.
      MAX_DEPTH = 100
      # Longest piece of the text that a message shows, in characters.
      SHOWN = 60
      # Stands for "the next scalar is a key".
      NO_KEY = Object.new.freeze
      private_constant :NO_KEY

      # A mapping or list that is open: its value, the key whose value comes next, the lines of its keys.
      Level = Struct.new(:value, :key, :lines)
      private_constant :Level

      # @return [Object] what the text says; nil for an empty text
      attr_reader :root

      # @param path [String] names the file in messages
      def initialize(path)
        super()
        @path = path
        @levels = []
        @documents = 0
        @line = 1
        @scanner = Psych::ScalarScanner.new(Psych::ClassLoader::Restricted.new([], []))
      end

      # @param text [String] UTF-8
      # @return [Object] what the text says
      # @raise [InvalidTemplate] naming file and line
      # @raise [Psych::SyntaxError] not YAML
      # @example
      #   YamlBuilder.new("a.yaml").build("a: 1") # => { "a" => 1 }
      def build(text)
        Psych::Parser.new(self).parse(text, @path)
        root
      end

      # @api private
      def event_location(start_line, *)
        @line = start_line + 1
      end

      # @api private
      def start_document(*)
        @documents += 1
        refuse("a second document begins here, expected one") if @documents > 1
      end

      # @api private
      def start_mapping(anchor, tag, *)
        open_level(anchor, tag, Level.new({}, NO_KEY, {}))
      end

      # @api private
      def start_sequence(anchor, tag, *)
        open_level(anchor, tag, Level.new([]))
      end

      # @api private
      def end_mapping
        @levels.pop
      end

      # @api private
      def end_sequence
        @levels.pop
      end

      # @api private
      def alias(_anchor)
        refuse_alias
      end

      # @api private
      def scalar(text, anchor, tag, plain, *)
        check_decorations(anchor, tag)
        add(plain ? value_of(text) : text)
      end

      private

      def open_level(anchor, tag, level)
        check_decorations(anchor, tag)
        refuse("nested more than #{MAX_DEPTH} levels deep") if @levels.size >= MAX_DEPTH
        add(level.value)
        @levels.push(level)
      end

      def check_decorations(anchor, tag)
        refuse("tag #{show(tag)} is not allowed; write plain text, numbers, lists and mappings") if tag
        refuse_alias if anchor
      end

      def refuse_alias
        refuse("anchors (&) and aliases (*) are not allowed; write the value out")
      end

      def add(value)
        level = @levels.last
        return @root = value unless level

        level.lines ? add_to_mapping(level, value) : level.value.push(value)
      end

      def add_to_mapping(level, value)
        if level.key.equal?(NO_KEY)
          level.key = checked_key(level.lines, value)
        else
          level.value[level.key] = value
          level.key = NO_KEY
        end
      end

      def checked_key(lines, key)
        refuse("a key must be text, not a mapping or list") if key.is_a?(Hash) || key.is_a?(Array)
        refuse("key #{show(key)} is not text; put it in quotes") unless key.is_a?(String)
        refuse("key #{show(key)} is given twice, first in line #{lines[key]}") if lines.key?(key)
        lines[key] = @line
        key
      end

      def value_of(text)
        @scanner.tokenize(text)
      rescue Psych::DisallowedClass
        refuse("#{show(text)} would be read as a date or a symbol; put it in quotes")
      end

      def show(value)
        text = value.inspect
        text.length > SHOWN ? "#{text[0, SHOWN]}..." : text
      end

      def refuse(message)
        raise InvalidTemplate.new("#{@path}:#{@line}: #{message}", details: { "file" => @path, "line" => @line })
      end
    end
  end
end
