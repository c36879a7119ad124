# frozen_string_literal: true

module Bench
  # One measurement of one engine. Subclasses define `call`.
  class Measurement
    # @param settings [Settings]
    # @param server [Server]
    # @param progress [#call] is told what is being done. Default: nobody is.
    def initialize(settings, server, progress: ->(text) {})
      @settings = settings
      @server = server
      @progress = progress
    end

    private

    attr_reader :settings, :server

    def say(text)
      @progress.call(text)
    end
  end
end
