# frozen_string_literal: true

require_relative "faults"

module Chaos
  # Which fault comes when, from one seed: the same names, moments and chances for each run with the same seed, length
  # and faults.
  class Schedule
    # A fault: when it begins, in seconds since the start of the run; how many seconds it lasts, 0 for a moment; and the
    # seed of what is left to chance.
    Entry = Struct.new(:at, :name, :seconds, :seed)

    # Seconds between the beginnings of two faults.
    GAP = (0.5..3.0).freeze

    # @return [Array<Entry>] in the order of time
    attr_reader :entries

    # @param seed [Integer]
    # @param seconds [Numeric] length of the run
    # @param names [Array<String>] of faults; each comes before any comes again
    # @param gap [Range] seconds between the beginnings of two faults. Default: {GAP}.
    # @example
    #   Schedule.new(seed: 1, seconds: 120, names: %w[kill cut]).entries.first.name # => "kill"
    def initialize(seed:, seconds:, names:, gap: GAP)
      @random = Random.new(seed)
      @names = names
      @entries = []
      at = @random.rand(gap)
      while at < seconds
        @entries << entry(at)
        at += @random.rand(gap)
      end
    end

    private

    def entry(at)
      @round = @names.shuffle(random: @random) if @round.nil? || @round.empty?
      name = @round.shift
      lasts = Faults::ALL.fetch(name).lasts
      Entry.new(at, name, lasts ? @random.rand(lasts) : 0, @random.rand(2**31))
    end
  end
end
