# frozen_string_literal: true

module Chaos
  # Something that goes wrong. One object for each time that it happens.
  class Fault
    # @return [Range, nil] seconds that it lasts; nil: a moment
    def self.lasts
      nil
    end

    # @return [String, nil] why it cannot happen on this machine; nil: it can
    def self.missing
      nil
    end

    # @param world [World]
    # @param random [Random] decides what is left to chance
    def initialize(world, random)
      @world = world
      @random = random
    end

    # It happens.
    #
    # @return [String] what exactly, for the display
    def begin
      raise NotImplementedError
    end

    # It is over; only for one that lasts.
    #
    # @return [void]
    def finish; end

    private

    attr_reader :world, :random

    # Some of the worker processes, at least one.
    def victims(most = world.fleet.members.size)
      world.fleet.members.sample(random.rand(1..most), random: random)
    end

    def pids(members)
      "worker #{members.map(&:pid).join(", ")}"
    end
  end
end
