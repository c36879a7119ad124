# frozen_string_literal: true

require "json"
require_relative "../errors"
require_relative "global_ids"

module TaskerCore
  module Internal
    # Ruby values as JSON text, exactly: what JSON cannot say is refused with its key path, never turned into
    # something else (JSON.generate alone would write an object's `to_s`).
    #
    # The writer is kept, because making one costs more than writing a small value. It counts levels, and an interrupt
    # in the middle leaves its count wrong; so it has no limit, and {MAX_DEPTH} is checked here. Otherwise it remembers
    # nothing: threads may share it.
    class JsonText
      # Levels of arrays and objects, the outermost counted. The default limit of Ruby's JSON library.
      MAX_DEPTH = 100
      # Longest piece of a value that a message shows, in characters.
      SHOWN = 60
      # Longest key path that a message shows.
      SHOWN_KEYS = 12
      # Hints for classes that are often met.
      HINTS = {
        "Time" => "call iso8601 on it", "Date" => "call iso8601 on it", "DateTime" => "call iso8601 on it",
        "ActiveSupport::TimeWithZone" => "call iso8601 on it", "ActiveSupport::Duration" => "call to_i on it",
        "BigDecimal" => "call to_s(\"F\") on it", "Set" => "call to_a on it", "Symbol" => "call to_s on it",
        "GlobalID" => "pass the record itself"
      }.freeze

      # @api private
      # What is wrong, and the keys that lead to it; filled while the walk returns.
      class Fault < StandardError
        attr_reader :keys, :allowed, :value

        def initialize(message, value, allowed, of_key: false)
          super(message)
          @value = value
          @allowed = allowed
          @of_key = of_key
          @keys = []
        end

        # A fault of a key belongs to the hash, not to what lies under the key.
        def under(key)
          @of_key ? @of_key = false : keys.unshift(key)
          self
        end
      end

      # @api private
      # A record is to be written as its global id.
      class RecordMet < StandardError; end
      private_constant :Fault, :RecordMet

      # @param symbols [Boolean] whether symbols may stand as values, written as text. Default false.
      # @param records [Boolean] whether records may, written as {GlobalIds} says. Default false.
      def initialize(symbols: false, records: false)
        @symbols = symbols
        @records = records
        @writer = JSON::State.new(max_nesting: 0)
        freeze
      end

      # @param value [Object] nil, true, false, Integer, finite Float, String, Array, Hash with text or symbol keys
      # @param what [String] name of the value, the first part of key paths in messages
      # @return [String] UTF-8
      # @raise [InvalidContext] naming the key path, the value and what is allowed
      # @example
      #   JsonText.new.generate({ "a" => Time.now }, what: "context") # raises: context.a is a Time ...
      def generate(value, what:)
        text(value)
      rescue Fault => e
        refuse(e, what)
      end

      private

      def text(value)
        check(value, 1)
        @writer.generate(value)
      rescue RecordMet
        check(copy = GlobalIds.written(value, MAX_DEPTH), 1)
        @writer.generate(copy)
      end

      def check(value, depth)
        case value
        when String then check_text(value)
        when Integer, nil, true, false then nil
        when Hash then check_hash(value, depth)
        when Array then check_array(value, depth)
        else check_rest(value)
        end
      end

      def check_rest(value)
        case value
        when Float
          value.finite? || fault("is #{value}", value, "a finite number")
        when Symbol
          @symbols ? check_text(value.name) : fault_of_class(value)
        else @records && GlobalIds.record?(value) ? check_record(value) : fault_of_class(value)
        end
      end

      def check_record(record)
        raise RecordMet if GlobalIds.id?(record)

        fault("is of class #{record.class}, and has no global id", record, "records that have one, as saved ones do")
      end

      def check_hash(hash, depth)
        check_depth(depth)
        hash.each do |key, value|
          check_key(key, hash)
          check(value, depth + 1)
        rescue Fault => e
          raise e.under(key)
        end
      end

      def check_array(array, depth)
        check_depth(depth)
        array.each_with_index do |value, index|
          check(value, depth + 1)
        rescue Fault => e
          raise e.under(index)
        end
      end

      def check_depth(depth)
        fault("is nested too deeply", nil, "#{MAX_DEPTH} levels") if depth > MAX_DEPTH
      end

      def check_key(key, hash)
        case key
        when String
          utf8?(key) || fault_of_key("has a key that is not UTF-8", key, "keys in UTF-8")
          check_reserved(key, hash) if @records
        when Symbol
          fault_of_key("has a key twice, as text and as symbol", key, "one of the two") if hash.key?(key.name)
          check_key(key.name, hash)
        else fault_of_key("has a key of class #{key.class}", key, "keys that are text or symbols")
        end
      end

      def check_reserved(key, hash)
        return unless key == GlobalIds::KEY && !hash.is_a?(GlobalIds::Written)

        fault_of_key("has a key that stands for records", key, "the records themselves, and any other key")
      end

      def check_text(text)
        utf8?(text) || fault("is not UTF-8", text, "text in UTF-8")
      end

      # Whether it is, or can be written as such.
      def utf8?(text)
        return text.valid_encoding? if text.encoding == Encoding::UTF_8

        text.encode(Encoding::UTF_8)
        true
      rescue EncodingError
        false
      end

      def fault_of_key(message, key, allowed)
        raise Fault.new(message, key, allowed, of_key: true)
      end

      def fault_of_class(value)
        name = value.class.name
        hint = HINTS.fetch(name) { hint_for(value) }
        fault("is of #{name ? "class #{name}" : "an anonymous class"}", value,
              "nil, true, false, numbers, text, arrays and hashes (#{hint})")
      end

      def hint_for(value)
        return "pass its to_global_id.to_s, and GlobalID::Locator.locate it" if value.respond_to?(:to_global_id)

        return "call to_a on it" if value.respond_to?(:each) && !value.respond_to?(:each_pair)

        value.respond_to?(:to_h) ? "call to_h on it" : "pass its parts"
      end

      def fault(message, value, allowed)
        raise Fault.new(message, value, allowed)
      end

      def refuse(fault, what)
        path = path_of(what, fault.keys)
        shown = show(fault.value)
        raise InvalidContext.new("#{path} #{fault.message}#{" (#{shown})" if shown}, allowed: #{fault.allowed}",
                                 details: { "key" => path, "value" => shown, "allowed" => fault.allowed })
      end

      def path_of(what, keys)
        path = keys.first(SHOWN_KEYS).inject(+what) do |text, key|
          text << (key.is_a?(Integer) || !key.to_s.scrub.match?(/\A\w+\z/) ? "[#{show(key)}]" : ".#{key}")
        end
        keys.size > SHOWN_KEYS ? path << "..." : path
      end

      # `inspect` is the value's own code and may fail.
      def show(value)
        return if value.nil?

        text = value.inspect.encode(Encoding::UTF_8, invalid: :replace, undef: :replace).scrub
        text.length > SHOWN ? "#{text[0, SHOWN]}..." : text
      rescue StandardError
        "a value that cannot be shown"
      end
    end
  end
end
