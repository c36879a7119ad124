# frozen_string_literal: true

require_relative "usage_error"

module TaskerCore
  class CLI
    # How often something may be done, as people write it in an option.
    module Rate
      # Unit => seconds.
      UNITS = { "s" => 1, "m" => 60, "h" => 3_600 }.freeze
      # What a rate looks like.
      PATTERN = %r{\A(\d{1,9})/([#{UNITS.keys.join}])\z}.freeze
      # What a rate looks like, in words.
      ALLOWED = "a whole number above 0 and a unit: /s, /m (a minute) or /h, for instance 20/s"

      module_function

      # @param option [String] where the text comes from, for the message
      # @param text [String]
      # @return [Float] how many a second
      # @raise [UsageError] it does not look like a rate
      # @example
      #   Rate.per_second("--rate", "90/m") # => 1.5
      def per_second(option, text)
        number, unit = PATTERN.match(text)&.captures
        raise UsageError, "#{option} is #{text.inspect}; allowed: #{ALLOWED}" unless number.to_i.positive?

        number.to_i.fdiv(UNITS.fetch(unit))
      end
    end
  end
end
