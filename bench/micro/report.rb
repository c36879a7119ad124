# frozen_string_literal: true

require "json"

module Micro
  # Figures for people, and the same as JSON on the last line.
  module Report
    # @param figures [Hash{String => Numeric, nil}] names end with their unit
    # @return [void]
    def self.print(figures)
      figures = figures.transform_values { |figure| figure.is_a?(Float) ? figure.round(3) : figure }
      width = figures.keys.map(&:size).max
      figures.each { |name, figure| puts "#{name.ljust(width)}  #{figure.nil? ? "-" : figure}" }
      puts JSON.generate(figures)
    end
  end
end
