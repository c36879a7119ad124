# frozen_string_literal: true

require "tasker_core"
require "tasker_core/cli"

module Bench
  # How figures are rounded and written.
  module Figures
    # Digits that are kept of a measure.
    DIGITS = 4
    # Measures that say how much was done: whole numbers are enough.
    PER_SECOND = /(\A|_)(steps|create|pruned_rows|events|items)_per_s\z/.freeze

    module_function

    # @param values [Array<Numeric, nil>]
    # @return [Numeric, nil] nil where a value is
    def median(values)
      return if values.any?(&:nil?)

      sorted = values.sort
      middle = sorted.size / 2
      sorted.size.odd? ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2.0
    end

    # To some significant digits, and to a whole number where it has more than those.
    #
    # @param value [Numeric, nil]
    # @return [Numeric, nil]
    def rounded(value)
      return value if value.nil? || value.zero?

      places = DIGITS - 1 - Math.log10(value.abs).floor
      places.positive? ? value.to_f.round(places) : value.round
    end

    # @param name [String] of a measure
    # @param value [Numeric, nil]
    # @return [String] for people
    def shown(name, value)
      number = rounded(value)
      name.match?(PER_SECOND) ? TaskerCore::CLI::Format.count(number.round) : number.to_s
    end

    # @param name [String] of a measure
    # @param median [Numeric]
    # @param singles [Array<Numeric>] of each run
    # @return [Array<String>] a line of the table; the runs only where there were several
    def row(name, median, singles)
      [name, shown(name, median), *(singles.map { |single| shown(name, single) } if singles.size > 1)]
    end
  end
end
