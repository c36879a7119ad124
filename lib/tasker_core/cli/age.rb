# frozen_string_literal: true

require_relative "../internal/check"
require_relative "usage_error"

module TaskerCore
  class CLI
    # A length of time as people write it in an option: a whole number and a unit.
    module Age
      # Unit => seconds.
      UNITS = { "s" => 1, "m" => 60, "h" => 3_600, "d" => 86_400, "w" => 604_800 }.freeze
      # What an age looks like.
      PATTERN = /\A(\d{1,9})([#{UNITS.keys.join}])\z/.freeze
      # Longest one, in seconds.
      LONGEST = Internal::Check::MAX_AGE
      # What an age looks like, in words.
      ALLOWED = "a whole number and a unit: s, m (minutes), h, d or w, for instance 30d, " \
                "at most #{LONGEST / UNITS.fetch("d")}d".freeze

      module_function

      # @param option [String] where the text comes from, for the message
      # @param text [String]
      # @return [Integer] seconds
      # @raise [UsageError] it does not look like an age, or is longer than {LONGEST}
      # @example
      #   Age.seconds("--older-than", "30d") # => 2592000
      def seconds(option, text)
        number, unit = PATTERN.match(text)&.captures
        seconds = number.to_i * UNITS.fetch(unit) if number
        return seconds if seconds&.<=(LONGEST)

        raise UsageError, "#{option} is #{text.inspect}; allowed: #{ALLOWED}"
      end
    end
  end
end
