# frozen_string_literal: true

require "json"
require "time"

module TaskerCore
  class CLI
    # Turns values into the short text that people read: durations in human units, grouped digits, ages,
    # and text of other people made safe for a terminal. Pure: the same value gives the same text.
    module Format
      # Shown where there is no value.
      NOTHING = "-"

      MINUTE = 60
      HOUR = 60 * MINUTE
      DAY = 24 * HOUR

      module_function

      # A length of time in the two largest units that matter.
      #
      # @param seconds [Numeric, nil] seconds, not negative
      # @return [String] for instance "0.4 ms", "350 ms", "4.2 s", "3 min 05 s", "2 h 14 min", "5 d 03 h"; "-" for nil
      # @example
      #   Format.duration(185) # => "3 min 05 s"
      def duration(seconds)
        return NOTHING if seconds.nil?
        return short_duration(seconds) if seconds < MINUTE - 0.05

        large, small, names = split(seconds.round)
        "#{large} #{names[0]} #{small.to_s.rjust(2, "0")} #{names[1]}"
      end

      # Whole numbers with a separator every three digits.
      #
      # @param number [Integer, nil]
      # @return [String] for instance "12,345"; "-" for nil
      # @example
      #   Format.count(12_345) # => "12,345"
      def count(number)
        return NOTHING if number.nil?

        number.to_s.reverse.scan(/\d{1,3}-?/).join(",").reverse
      end

      # How long ago something happened.
      #
      # @param timestamp [String, Time, nil] a time, as text in ISO 8601
      # @param now [Time] what "now" is. Default: the clock.
      # @return [String] for instance "12.0 s ago"; "-" for nil
      # @example
      #   Format.age(status.requested_at) # => "3 min 05 s ago"
      def age(timestamp, now: Time.now)
        return NOTHING if timestamp.nil?

        "#{duration([now - time(timestamp), 0].max)} ago"
      end

      # The moment in the reader's own time zone.
      #
      # @param timestamp [String, Time, nil] a time, as text in ISO 8601
      # @param exact [Boolean] to the millisecond. Default: to the second.
      # @return [String] for instance "2026-01-31 03:12:45 +0100"; "-" for nil
      # @example
      #   Format.moment("2026-01-31T02:12:45Z")
      def moment(timestamp, exact: false)
        return NOTHING if timestamp.nil?

        time(timestamp).getlocal.strftime("%Y-%m-%d %H:%M:%S#{".%L" if exact} %z")
      end

      # Seconds between two moments; to now where the second has not come yet.
      #
      # @param from [String, Time, nil]
      # @param till [String, Time, nil]
      # @param now [Time] what "now" is. Default: the clock.
      # @return [Float, nil] seconds; nil without a beginning
      # @example
      #   Format.between(status.started_at, status.finished_at) # => 1.25
      def between(from, till, now: Time.now)
        from && ((till ? time(till) : now) - time(from))
      end

      # Text from elsewhere on one line: control characters (an escape sequence could rewrite the terminal)
      # are written out, bytes that are not UTF-8 replaced.
      #
      # @param text [#to_s]
      # @return [String]
      # @example
      #   Format.clean("a\e[2Jb") # => "a\\e[2Jb"
      def clean(text)
        text.to_s.encode(Encoding::UTF_8, invalid: :replace, undef: :replace).scrub
            .gsub(/[[:cntrl:]\u2028\u2029\u202A-\u202E\u2066-\u2069]/) { |char| char.dump[1..-2] }
      end

      # The text, cut to a number of characters, with "..." where something is missing.
      #
      # @param text [String]
      # @param width [Integer, nil] characters; nil cuts nothing
      # @return [String]
      # @example
      #   Format.cut("a long sentence", 9) # => "a long..."
      def cut(text, width)
        return text if width.nil? || text.length <= width

        "#{text[0, [width - 3, 0].max]}..."[0, [width, 0].max]
      end

      # Names and values on one line.
      #
      # @param hash [Hash{String => Object}, nil]
      # @return [String] for instance "delay_ms=203 failures=1"; "-" for nothing
      # @example
      #   Format.facts("failures" => 1) # => "failures=1"
      def facts(hash)
        said = hash.to_h.compact
        return NOTHING if said.empty?

        said.map { |name, value| clean("#{name}=#{value.is_a?(String) ? value : JSON.generate(value)}") }.join(" ")
      end

      # A value as JSON on one line.
      #
      # @param value [Object] what JSON can say
      # @return [String] "-" for nil
      # @example
      #   Format.json_line({ "a" => 1 }) # => "{\"a\":1}"
      def json_line(value)
        value.nil? ? NOTHING : clean(JSON.generate(value, max_nesting: 0))
      end

      # A number and its noun.
      #
      # @param number [Integer]
      # @param singular [String]
      # @param plural [String] Default: singular with an "s".
      # @return [String] for instance "1 step", "1,024 steps"
      # @example
      #   Format.many(3, "step") # => "3 steps"
      def many(number, singular, plural = "#{singular}s")
        "#{count(number)} #{number == 1 ? singular : plural}"
      end

      # @api private
      def short_duration(seconds)
        return Kernel.format("%.1f ms", seconds * 1000) if seconds < 0.00995
        return Kernel.format("%d ms", (seconds * 1000).round) if seconds < 0.9995

        Kernel.format("%.1f s", seconds)
      end

      # @api private
      def split(seconds)
        return [seconds / MINUTE, seconds % MINUTE, %w[min s]] if seconds < HOUR
        return [seconds / HOUR, seconds % HOUR / MINUTE, %w[h min]] if seconds < DAY

        [seconds / DAY, seconds % DAY / HOUR, %w[d h]]
      end

      # @api private
      def time(timestamp)
        timestamp.is_a?(Time) ? timestamp : Time.iso8601(timestamp)
      end
    end
  end
end
