# frozen_string_literal: true

module Bench
  # Numbers among the options of a command, which names them in its constant NUMBERS: option => default, smallest and
  # largest number.
  module Numbers
    private

    def number(name)
      default, least, most = self.class::NUMBERS.fetch(name)
      value = options.fetch(name, default)
      return value if value.nil? || value.between?(least, most)

      refuse("--#{name} is #{value}; allowed: #{least} to #{most}")
    end
  end
end
