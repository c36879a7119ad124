# frozen_string_literal: true

require "zlib"

# Runs the engine under faults, and checks what it did.
module Chaos
  # Steps whose handlers look again and again until a condition is true: that they have been executed often enough, by
  # the ledger, which counts also those attempts that were cut off.
  Poll = Struct.new(:looks) do
    # Called anew in each attempt, as a handler would.
    #
    # @param step [TaskerCore::Step]
    # @yieldreturn [Integer] how often the step was executed, this time included
    # @return [Hash{String => Object}] how often that was when it was enough
    def perform(step)
      { "looks" => step.poll(every: Poll::EVERY, backoff: Poll::BACKOFF, max: Poll::MAX) { enough(yield) } }
    end

    # @param number [Integer] of waits before
    # @return [Float] seconds until the next look
    # @example
    #   Poll.of(7, "watched").interval(1) # => 0.3
    def interval(number)
      [Poll::EVERY * (Poll::BACKOFF**number), Poll::MAX].min
    end

    private

    def enough(executed)
      executed if executed >= looks
    end
  end

  # Names of such steps; seconds from the first look to the second, how much longer each further interval is, and the
  # longest.
  Poll::STEPS = %w[watched].freeze
  Poll::EVERY = 0.15
  Poll::BACKOFF = 2
  Poll::MAX = 0.5
  # How many looks it takes.
  Poll::LOOKS = (1..5).freeze

  # @param seed [Integer] of the task
  # @param step [String] name of the step
  # @return [Poll, nil] frozen; nil: it does not
  # @example
  #   Poll.of(7, "begin") # => nil
  def Poll.of(seed, step)
    return unless self::STEPS.include?(step)

    new(Random.new(Zlib.crc32("#{seed}/#{step}/poll")).rand(self::LOOKS)).freeze
  end
end
