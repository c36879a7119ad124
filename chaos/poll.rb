# frozen_string_literal: true

require "zlib"

# Runs the engine under faults, and checks what it did.
module Chaos
  # Steps whose handlers look again and again until a condition is true: that they have been executed often enough, by
  # the ledger, which counts also those attempts that were cut off. `timeout`: seconds from the first look to the last,
  # or nil: for ever; in a third of the tasks it is over before. `strict`: the handler fails then.
  Poll = Struct.new(:looks, :timeout, :strict) do
    # Called anew in each attempt, as a handler would.
    #
    # @param step [TaskerCore::Step]
    # @yieldreturn [Integer] how often the step was executed, this time included
    # @return [Hash{String => Object}] how often that was when it was enough
    # @raise [TaskerCore::PollTimeout]
    def perform(step)
      looks = step.poll(every: Poll::EVERY, backoff: Poll::BACKOFF, max: Poll::MAX, timeout: timeout) { enough(yield) }
      { "looks" => looks }
    end

    # @param number [Integer] of waits before
    # @param passed [Float] seconds since the first look
    # @return [Float] seconds until the next look, which is not put off beyond the last one
    # @example
    #   Poll.of(7, "watched").interval(1, 0.2) # => 0.3
    def interval(number, passed)
      [Poll::EVERY * (Poll::BACKOFF**number), Poll::MAX, timeout && (timeout - passed)].compact.min
    end

    private

    def enough(executed)
      executed if executed >= looks
    end
  end

  # Name of the one that has a limit, and of all such steps; seconds from the first look to the second, how much longer
  # each further interval is, and the longest.
  Poll::LIMITED = "limited"
  Poll::STEPS = ["watched", Poll::LIMITED].freeze
  Poll::EVERY = 0.15
  Poll::BACKOFF = 2
  Poll::MAX = 0.5
  # How many looks it takes.
  Poll::LOOKS = (1..5).freeze
  # Seconds of a limit.
  Poll::TIMEOUTS = (0.1..1.0).freeze

  # @param seed [Integer] of the task
  # @param step [String] name of the step
  # @return [Poll, nil] frozen; nil: it does not
  # @example
  #   Poll.of(7, "begin") # => nil
  def Poll.of(seed, step)
    return unless self::STEPS.include?(step)

    random = Random.new(Zlib.crc32("#{seed}/#{step}/poll"))
    looks = random.rand(self::LOOKS)
    timeout = random.rand(self::TIMEOUTS).round(3) if step == self::LIMITED
    new(looks, timeout, random.rand(2).zero?).freeze
  end
end
