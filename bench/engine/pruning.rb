# frozen_string_literal: true

require "tasker_core"

module Bench
  # A client that deletes what has ended, oldest first, while something else goes on.
  #
  # @example
  #   Pruning.beside(client) { work }.rows_per_s # => 40000.0
  class Pruning
    # Seconds before the next look when everything was looked at.
    PAUSE = 0.1

    # @return [Integer] steps of the tasks that were deleted
    attr_reader :steps

    # Deletes during the block, and up to a second longer.
    #
    # @param client [TaskerCore::Client] that nobody else uses meanwhile
    # @yield
    # @return [Pruning] what was deleted
    # @raise [TaskerCore::Error] why it could not go on
    def self.beside(client)
      pruning = new(client)
      yield
      pruning
    ensure
      pruning&.stop
    end

    # @param client [TaskerCore::Client]
    def initialize(client)
      @client = client
      @stopped = false
      @steps = @rows = 0
      @started = TaskerCore::Internal::Clock.seconds
      @thread = Thread.new { prune }
      @thread.report_on_exception = false
    end

    # Ends it.
    #
    # @return [void]
    # @raise [TaskerCore::Error] why it could not go on
    def stop
      @stopped = true
      @thread.join
      @seconds = TaskerCore::Internal::Clock.seconds - @started
    end

    # @return [Float] rows of all tables that were deleted each second until it was stopped
    def rows_per_s
      @rows / @seconds
    end

    private

    def prune
      loop do
        pruned = prune_some
        @steps += pruned.fetch("steps")
        @rows += pruned.fetch("tasks") + pruned.fetch("rows")
        break if @stopped

        sleep(PAUSE)
      end
    end

    def prune_some
      @client.prune(older_than: 0) { |so_far| break so_far if @stopped }
    end
  end
end
