# frozen_string_literal: true

require_relative "clock"
require_relative "faults"
require_relative "schedule"

module Chaos
  # Lets the faults of a schedule happen, and replaces workers that end meanwhile.
  class Injector
    include Clock

    # Seconds between two looks.
    TICK = 0.02

    # @return [Hash{String => Integer}] how often each fault happened
    attr_reader :counts

    # @param world [World]
    # @param schedule [Schedule]
    # @param seconds [Numeric] length of the run
    # @yield [at, name, what] told of each fault that begins: seconds since the start, its name, what exactly
    def initialize(world, schedule, seconds, &told)
      @world = world
      @entries = schedule.entries.dup
      @seconds = seconds
      @told = told
      @lasting = []
      @counts = Hash.new(0)
    end

    # Returns when the time is over and all faults have ended.
    #
    # @yieldparam elapsed [Float] seconds since the start, now and then
    # @return [void]
    def run
      @started = now
      until (elapsed = now - @started) >= @seconds
        begin_due(elapsed)
        finish_due(elapsed)
        @world.fleet.tend
        yield elapsed
        sleep(TICK)
      end
    ensure
      finish_due(Float::INFINITY)
    end

    private

    def begin_due(elapsed)
      while @entries.any? && @entries.first.at <= elapsed
        entry = @entries.shift
        fault = Faults::ALL.fetch(entry.name).new(@world, Random.new(entry.seed))
        @counts[entry.name] += 1
        @told.call(elapsed, entry.name, fault.begin)
        @lasting << [elapsed + entry.seconds, fault] if entry.seconds.positive?
      end
    end

    def finish_due(elapsed)
      due, @lasting = @lasting.partition { |till, _| till <= elapsed }
      due.each { |_, fault| fault.finish }
    end
  end
end
