# frozen_string_literal: true

require "timeout"
require "tasker_core"

module Chaos
  # A client whose calls reach the database through the connections that faults happen to. For one thread.
  class Caller
    # Seconds after which a call that is not answered is given up: the client's own limit for a submit is longer.
    PATIENCE = 20
    # Seconds after a call that failed.
    PAUSE = 0.2

    # @return [Hash{Symbol => Integer}] calls that :failed, and that were :unanswered
    attr_reader :counts

    # @param url [String]
    def initialize(url)
      @configuration = TaskerCore.configuration.with { |config| config.database_url = url }
      @client = TaskerCore::Client.new(@configuration)
      @counts = Hash.new(0)
    end

    # @yieldparam client [TaskerCore::Client]
    # @return [Object, nil] what the block returned; nil: it failed, or perhaps took place
    # @raise [TaskerCore::Error] it was refused
    # @example
    #   caller.call { |client| client.cancel(7) }
    def call
      Timeout.timeout(PATIENCE) { yield @client }
    rescue TaskerCore::DatabaseUnavailable, TaskerCore::DatabaseError
      counts[:failed] += 1
      sleep(PAUSE)
      nil
    rescue Timeout::Error
      counts[:unanswered] += 1
      @client.close
      @client = TaskerCore::Client.new(@configuration)
      nil
    end

    # @return [void]
    def close
      @client.close
    end
  end
end
