# frozen_string_literal: true

require "etc"
require "json"
require "tasker_core"
require_relative "run"

module Bench
  # The runs of one workload, for programs and for people. With several runs each measure is the median.
  class Report
    # Digits that are kept of a measure.
    DIGITS = 4
    # Measures that say how much was done: whole numbers are enough.
    PER_SECOND = /\A(steps|create|pruned_rows)_per_s\z/.freeze

    # @param settings [Settings]
    # @param results [Array<Run::Result>]
    # @param place [Hash{String => Object}] where it was measured
    def initialize(settings, results, place)
      @settings = settings
      @results = results
      @place = place
    end

    # @return [Boolean] whether every run left what it must
    def consistent?
      @results.all?(&:consistent?)
    end

    # @return [Array<String>] what is wrong with what the runs left
    def problems
      @results.flat_map(&:problems)
    end

    # What the last line of the output says. Wrong runs have no measures.
    #
    # @return [String] JSON
    def json
      body = consistent? ? measured : { "consistent" => false, "problems" => problems }
      JSON.generate({ **@settings.to_report, **body, **@place })
    end

    # @return [String] what was done
    def title
      name, *choices = @settings.to_report.values
      "#{name}: #{@settings.to_report.keys.drop(1).zip(choices).map { |pair| pair.join(" ") }.join(", ")}"
    end

    # One row for each measure that there is: its name, the median, and where there were several runs, each of them.
    #
    # @return [Array<Array<String>>]
    def rows
      medians.compact.map do |name, median|
        singles = @results.size == 1 ? [] : @results.map { |result| shown(name, result.measures[name]) }
        [name, shown(name, median), *singles]
      end
    end

    # What was measured in each part of the time, for each run where that was.
    #
    # @return [Array<Array<Hash{String => Object}>>]
    def parts
      @results.flat_map { |result| result.parts.values }
    end

    private

    def measured
      runs = @results.map { |result| result.measures.transform_values { |value| rounded(value) } }
      { "consistent" => true, **named_parts, **medians.transform_values { |value| rounded(value) },
        **(@results.size == 1 ? {} : { "runs" => runs }) }
    end

    # Of several runs, an array for each.
    def named_parts
      return @results.first.parts if @results.size == 1

      @results.first.parts.to_h { |name, _| [name, @results.map { |result| result.parts.fetch(name) }] }
    end

    def medians
      @medians ||= Run::MEASURES.to_h { |name, _| [name, median(@results.map { |result| result.measures[name] })] }
    end

    def median(values)
      return if values.any?(&:nil?)

      sorted = values.sort
      middle = sorted.size / 2
      sorted.size.odd? ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2.0
    end

    def shown(name, value)
      number = rounded(value)
      name.match?(PER_SECOND) ? TaskerCore::CLI::Format.count(number.round) : number.to_s
    end

    # To some significant digits, and to a whole number where it has more than those.
    def rounded(value)
      return value if value.nil? || value.zero?

      places = DIGITS - 1 - Math.log10(value.abs).floor
      places.positive? ? value.to_f.round(places) : value.round
    end
  end
end
