# frozen_string_literal: true

require "tasker_core"

module Bench
  # Counts what one subscriber is told. For processes with one worker, which calls it from one thread.
  class EventCount
    def initialize
      @count = 0
    end

    # Counts from now on.
    #
    # @return [self]
    def subscribe
      TaskerCore.subscribe("step.*", "task.*") { add }
      self
    end

    # @return [Hash{String => Numeric, nil}] how many, and the monotonic clock's seconds at the first and the last one
    def report
      { "count" => @count, "first" => @first, "last" => @last }
    end

    private

    def add
      @count += 1
      @last = TaskerCore::Internal::Clock.seconds
      @first = @last if @count == 1
    end
  end
end
