# frozen_string_literal: true

require "etc"
require "json"
require "tasker_core"
require_relative "figures"
require_relative "run"

module Bench
  # The runs of one workload, for programs and for people. With several runs each measure is the median.
  class Report
    include Figures

    # @param settings [Settings]
    # @param results [Array<Run::Result>]
    # @param place [Hash{String => Object}] where it was measured
    # @param comparisons [Array<Comparison>] what other engines did in the same runs. Default: none.
    def initialize(settings, results, place, comparisons = [])
      @settings = settings
      @results = results
      @place = place
      @comparisons = comparisons
    end

    # @return [Boolean] whether every run left what it must
    def consistent?
      problems.empty?
    end

    # @return [Array<String>] what is wrong with what the runs left
    def problems
      @results.flat_map(&:problems) + @comparisons.flat_map(&:problems)
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
      choices = @settings.to_report.keys.drop(1).zip(choices).map { |pair| pair.join(" ") }
      "#{name}: #{[*choices, *("not durable" unless @place.fetch("durable"))].join(", ")}"
    end

    # One row for each measure that there is: its name, the median, and where there were several runs, each of them.
    # Then those of the other engines.
    #
    # @return [Array<Array<String>>]
    def rows
      ours = medians.compact.map { |name, median| row(name, median, @results.map { |result| result.measures[name] }) }
      ours + @comparisons.flat_map(&:rows)
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
      { "consistent" => true, **named_parts, **medians.transform_values { |value| rounded(value) }, **peers,
        **(@results.size == 1 ? {} : { "runs" => runs }) }
    end

    def peers
      @comparisons.empty? ? {} : { "peers" => @comparisons.to_h { |one| [one.title, one.to_report] } }
    end

    # Of several runs, an array for each.
    def named_parts
      return @results.first.parts if @results.size == 1

      @results.first.parts.to_h { |name, _| [name, @results.map { |result| result.parts.fetch(name) }] }
    end

    def medians
      @medians ||= Run::MEASURES.to_h { |name, _| [name, median(@results.map { |result| result.measures[name] })] }
    end
  end
end
