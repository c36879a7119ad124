# frozen_string_literal: true

require "time"
require_relative "../errors"
require_relative "suggestion"

module TaskerCore
  module Internal
    # Checks of arguments. What passes can be written as JSON.
    module Check
      # Largest id that the database can hold.
      MAX_ID = (2**63) - 1
      # Longest time that something may be kept, in seconds: 100 years.
      MAX_AGE = 100 * 365 * 86_400

      # Most attempts that a budget can allow.
      MAX_ATTEMPTS = (2**31) - 1
      # What a task's priority may be.
      PRIORITIES = (-32_768..32_767)
      # The largest cost.
      MAX_COST = 1_000_000_000
      # The smallest one that is not 0.
      MIN_COST = 0.000_001
      # What a cost may be, in words.
      COSTS = "0, or a number from #{format("%.6f", MIN_COST)} to #{MAX_COST}".freeze

      module_function

      # @param value [Object]
      # @param key [String] name of the argument
      # @return [Integer] the value
      # @raise [InvalidArgument] no whole number from 1 to {MAX_ID}
      # @example
      #   Check.id(-1) # raises: task_id is -1, allowed: ...
      def id(value, key = "task_id")
        whole(value, key, 1..MAX_ID)
      end

      # @param value [Object]
      # @param key [String] name of the argument
      # @param range [Range<Integer>]
      # @return [Integer] the value
      # @raise [InvalidArgument] no whole number, or outside
      # @example
      #   Check.whole(70_000, "port", 1..65_535) # raises: port is 70000, allowed: ...
      def whole(value, key, range)
        return value if value.is_a?(Integer) && range.cover?(value)

        refuse(key, value, "a whole number from #{range.begin} to #{range.end}")
      end

      # @param value [Object]
      # @param key [String] name of the argument
      # @return [String] the value as UTF-8
      # @raise [InvalidArgument] no text, or empty, or not UTF-8
      # @example
      #   Check.text("charge_card", "step") # => "charge_card"
      def text(value, key)
        text = value.is_a?(Symbol) ? value.name : value
        refuse(key, value, "text that is not empty") unless text.is_a?(String) && !text.empty?
        utf8 = text.encode(Encoding::UTF_8)
        utf8.valid_encoding? ? utf8 : refuse(key, value, "text in UTF-8")
      rescue EncodingError
        refuse(key, value, "text in UTF-8")
      end

      # @param value [Object] nil passes
      # @param key [String] name of the argument
      # @return [String, nil] the value as UTF-8
      # @raise [InvalidArgument]
      # @example
      #   Check.optional_text(nil, "reason") # => nil
      def optional_text(value, key)
        value.nil? ? nil : text(value, key)
      end

      # @param values [Object]
      # @param key [String] name of the argument
      # @return [Array<String>]
      # @raise [InvalidArgument] no array, or not of texts
      # @example
      #   Check.texts(%w[a b], "tags") # => ["a", "b"]
      def texts(values, key)
        refuse(key, values, "an array of text") unless values.is_a?(Array)
        values.each_with_index.map { |value, index| text(value, "#{key}[#{index}]") }
      end

      # @param value [Object]
      # @param key [String] name of the argument
      # @param allowed [String] what is allowed, in words
      # @return [Numeric]
      # @raise [InvalidArgument] negative, not finite or no number
      # @example
      #   Check.seconds(1.5, "seconds") # => 1.5
      def seconds(value, key, allowed = "a number of seconds, not negative")
        return value if value.is_a?(Numeric) && value.real? && value.to_f.finite? && !value.negative?

        refuse(key, value, allowed)
      end

      # @param value [Object] nil passes
      # @param key [String] name of the argument
      # @return [Numeric, nil]
      # @raise [InvalidArgument] negative, not finite or no number
      # @example
      #   Check.optional_seconds(nil, "timeout") # => nil
      def optional_seconds(value, key)
        value.nil? ? nil : seconds(value, key, "nil or a number of seconds, not negative")
      end

      # @param value [Object] nil passes
      # @return [Integer, nil] the value
      # @raise [InvalidArgument] none of {PRIORITIES}
      # @example
      #   Check.optional_priority(40_000) # raises: priority is 40000, allowed: ...
      def optional_priority(value)
        value.nil? ? nil : whole(value, "priority", PRIORITIES)
      end

      # @param value [Object]
      # @param key [String] name of the argument
      # @param longest [Integer] seconds
      # @return [Float, nil] seconds
      # @raise [InvalidArgument] neither nil nor a number above 0, up to the longest
      # @example
      #   Check.optional_span(60, "unique_for", 3_600) # => 60.0
      def optional_span(value, key, longest)
        return if value.nil?
        return value.to_f if value.is_a?(Numeric) && value.real? && value.positive? && value <= longest

        refuse(key, value, "nil or a number of seconds above 0, at most #{longest}")
      end

      # @param value [Object]
      # @param key [String] name of the argument
      # @return [Numeric] seconds
      # @raise [InvalidArgument] negative, above {MAX_AGE} or no number
      # @example
      #   Check.age(86_400, "older_than") # => 86400
      def age(value, key)
        return value if value.is_a?(Numeric) && value.real? && (0..MAX_AGE).cover?(value)

        refuse(key, value, "a number of seconds from 0 to #{MAX_AGE}")
      end

      # @param value [Object]
      # @param key [String] name of the argument
      # @return [Integer]
      # @raise [InvalidArgument] no whole number above 0
      # @example
      #   Check.count(20, "limit") # => 20
      def count(value, key)
        value.is_a?(Integer) && value.positive? ? value : refuse(key, value, "a whole number above 0")
      end

      # @param value [Object]
      # @return [Hash{String => Numeric}] what a task may use up: "attempts", "cost"
      # @raise [InvalidArgument] no Hash of one or both of these, or no numbers as they are allowed
      # @example
      #   Check.budget({ attempts: 200 }) # => {"attempts" => 200}
      def budget(value)
        allowed = "{ attempts: a whole number above 0, cost: #{COSTS} }, or one of these"
        refuse("budget", value, allowed) unless value.is_a?(Hash) && value.any?
        value.to_h do |key, most|
          refuse("budget", value, allowed) unless %w[attempts cost].include?(key.to_s)
          [key.to_s, key.to_s == "cost" ? cost(most, "budget.cost") : whole(most, "budget.attempts", 1..MAX_ATTEMPTS)]
        end
      end

      # @param value [Object]
      # @param key [String] name of the argument
      # @return [Float]
      # @raise [InvalidArgument] negative, so small that it would be kept as 0, above {MAX_COST} or no number
      # @example
      #   Check.cost(2, "cost") # => 2.0
      def cost(value, key)
        number = value.to_f if value.is_a?(Numeric) && value.real?
        return number if number&.zero? || (MIN_COST..MAX_COST).cover?(number)

        refuse(key, value, COSTS)
      end

      # @param value [Object]
      # @param key [String] name of the argument
      # @param range [Range]
      # @return [Numeric]
      # @raise [InvalidArgument] no number, or outside
      # @example
      #   Check.within(2, "backoff", 1..100) # => 2
      def within(value, key, range)
        return value if value.is_a?(Numeric) && value.real? && range.cover?(value)

        refuse(key, value, "a number from #{range.begin} to #{range.end}")
      end

      # @param given [Hash{Symbol => Object}]
      # @param known [Array<Symbol>]
      # @param others [Array<Symbol>] that the method takes besides, and that are not among those given
      # @return [void]
      # @raise [InvalidArgument] one is not known
      # @example
      #   Check.keywords({ nme: "order" }, %i[name]) # raises: unknown option nme; did you mean "name"?
      def keywords(given, known, others = [])
        unknown = given.keys.find { |key| !known.include?(key) } or return
        known = (known + others).map(&:name)
        nearest = Suggestion.sentence(unknown, known)
        nearest = ", allowed: #{known.join(", ")}" if nearest.empty?
        raise InvalidArgument.new("unknown option #{unknown}#{nearest}",
                                  details: { "key" => unknown.to_s, "allowed" => known.join(", ") })
      end

      # @param value [Object] nil passes
      # @param key [String] name of the argument
      # @param allowed [Array<String>]
      # @return [String, nil]
      # @raise [InvalidArgument] none of these
      # @example
      #   Check.choice(:leave, "on_cancel", %w[cancel leave]) # => "leave"
      def choice(value, key, allowed)
        return if value.nil?

        allowed.find { |word| word == value.to_s } ||
          refuse(key, value, allowed.join(", "), Suggestion.sentence(value, allowed))
      end

      # @param value [Object]
      # @param key [String] name of the argument
      # @return [Boolean]
      # @raise [InvalidArgument] neither true nor false nor nil
      # @example
      #   Check.flag(true, "dry_run") # => true
      def flag(value, key)
        [true, false, nil].include?(value) ? value == true : refuse(key, value, "true or false")
      end

      # @param value [Object] nil passes
      # @param key [String] name of the argument
      # @return [String, nil] the time in ISO 8601, to the microsecond
      # @raise [InvalidArgument] no Time
      # @example
      #   Check.optional_time(Time.now, "since")
      def optional_time(value, key)
        return if value.nil?

        value.is_a?(Time) ? value.getutc.iso8601(6) : refuse(key, value, "a Time")
      end

      # @param value [Object]
      # @param key [String] name of the argument
      # @return [Numeric] how many a second
      # @raise [InvalidArgument] not above 0, not finite or no number
      # @example
      #   Check.rate(20, "rate") # => 20
      def rate(value, key)
        return value if value.is_a?(Numeric) && value.real? && value.to_f.finite? && value.positive?

        refuse(key, value, "a number above 0: how many a second")
      end

      # @param key [String]
      # @param value [Object]
      # @param allowed [String]
      # @param suggestion [String] the end of the message. Default: none.
      # @raise [InvalidArgument] always
      # @example
      #   Check.refuse("limit", 0, "a whole number above 0")
      def refuse(key, value, allowed, suggestion = "")
        shown = value.inspect.scrub[0, 60]
        raise InvalidArgument.new("#{key} is #{shown}, allowed: #{allowed}#{suggestion}",
                                  details: { "key" => key, "value" => shown, "allowed" => allowed })
      end
    end
  end
end
