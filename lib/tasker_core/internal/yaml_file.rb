# frozen_string_literal: true

require "psych"
require_relative "../errors"
require_relative "yaml_builder"

module TaskerCore
  module Internal
    # Reads a YAML file that somebody else may have written: plain data in UTF-8 or a refusal that names the place.
    class YamlFile
      # Largest file, in bytes.
      MAX_BYTES = 1_048_576

      # @param path [String]
      # @return [Hash{String => Object}]
      # @raise [InvalidTemplate] the file cannot be read or is not understood; the message begins with the path
      # @example
      #   YamlFile.read("config/tasker/order_fulfilment.yaml")
      def self.read(path)
        new(path).read
      end

      # @param path [String]
      def initialize(path)
        @path = path
      end

      # @return [Hash{String => Object}]
      # @raise [InvalidTemplate]
      # @example
      #   YamlFile.new("config/tasker/order_fulfilment.yaml").read
      def read
        mapping(YamlBuilder.new(@path).build(utf8(bytes)))
      rescue Psych::SyntaxError => e
        refuse("#{e.problem} #{e.context}".strip, line: e.line)
      end

      private

      def bytes
        refuse("is not a regular file") unless File.stat(@path).file?
        data = File.open(@path, "rb") { |file| file.read(MAX_BYTES + 1) } || String.new
        refuse("is larger than #{MAX_BYTES} bytes, the most that is allowed") if data.bytesize > MAX_BYTES
        data
      rescue SystemCallError => e
        refuse("cannot be read: #{SystemCallError.new(nil, e.errno).message}")
      rescue ArgumentError => e
        refuse("cannot be read: #{e.message}")
      end

      def utf8(data)
        text = data.force_encoding(Encoding::UTF_8)
        return text if text.valid_encoding?

        refuse("is not UTF-8; save the file as UTF-8", line: text.lines.index { |line| !line.valid_encoding? } + 1)
      end

      def mapping(value)
        return value if value.is_a?(Hash)

        seen = { NilClass => "nothing", Array => "a list" }.fetch(value.class, "one value")
        refuse("holds #{seen}, expected keys and values (name: ..., step_templates: ...)")
      end

      def refuse(message, line: nil)
        place = line ? "#{@path}:#{line}" : @path
        raise InvalidTemplate.new("#{place}: #{message}", details: { "file" => @path, "line" => line }.compact)
      end
    end
  end
end
