# frozen_string_literal: true

require_relative "figures"

module Bench
  # What another engine did in the same runs, for programs and for people.
  #
  # @example
  #   Comparison.new(Peers::Sidekiq, theirs, ours).to_report["ratio"] # => 5.1
  class Comparison
    include Figures

    # What is measured of another engine.
    MEASURES = %w[steps_per_s create_per_s].freeze
    # What is compared.
    SPEED = "steps_per_s"

    # @param peer [Class<Peer>]
    # @param results [Array<Run::Result>] its runs
    # @param ours [Array<Run::Result>] our engine's runs, each just before the other's
    def initialize(peer, results, ours)
      @peer = peer
      @results = results
      @ours = ours
    end

    # @return [String] name of the other engine
    def title
      @peer.title
    end

    # @return [Array<String>] what is wrong with what its runs left
    def problems
      @results.flat_map(&:problems).map { |problem| "#{title}: #{problem}" }
    end

    # Its version, whether what it acknowledges survives a crash, its speed, and how many times as fast we are: the
    # ratio of the medians.
    #
    # @return [Hash{String => Object}]
    def to_report
      { "version" => @peer.version, "durable" => @peer.durable?, "ratio" => rounded(ratio),
        **MEASURES.to_h { |name| [name, rounded(median(values(name)))] }, **runs }
    end

    # As {Report#rows}.
    #
    # @return [Array<Array<String>>]
    def rows
      theirs = MEASURES.map { |name| row("#{title}_#{name}", median(values(name)), values(name)) }
      theirs << row("times_#{title}", ratio, values(SPEED, @ours).zip(values(SPEED)).map { |pair| pair.inject(:/) })
    end

    private

    def values(name, results = @results)
      results.map { |result| result.measures.fetch(name) }
    end

    def ratio
      median(values(SPEED, @ours)) / median(values(SPEED))
    end

    def runs
      return {} if @results.size == 1

      { "runs" => @results.map { |result| result.measures.transform_values { |value| rounded(value) } } }
    end
  end
end
