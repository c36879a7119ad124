# frozen_string_literal: true

require_relative "proxy"

module Chaos
  # The ways to Postgres: one {Proxy} for each place of the fleet and one for the client, so that faults happen to all
  # of them or to the host of one worker.
  class Network
    # @param upstreams [Array<#call>] for each place, then for the client: makes a connection to Postgres; raises
    #   SystemCallError where that is away
    # @yieldparam network [Network]
    # @return [Object] what the block returned
    # @example
    #   Network.open([-> { UNIXSocket.new(path) }] * 4) { |network| network.ports } # => [40001, 40002, 40003, 40004]
    def self.open(upstreams)
      network = new(upstreams)
      yield network
    ensure
      network&.close
    end

    # @param upstreams (see .open)
    def initialize(upstreams)
      @ways = upstreams.map { |upstream| Proxy.new(upstream) }
    end

    # @return [Array<Integer>] TCP ports: one for each place, then the client's
    def ports
      @ways.map(&:port)
    end

    # @return [Hash{Symbol => Integer}] as {Proxy#counts}
    def counts
      @ways.map(&:counts).reduce({}) { |sum, counts| sum.merge(counts) { |_, one, other| one + other } }
    end

    # (see Proxy#cut)
    def cut(**options)
      @ways.each { |way| way.cut(**options) }
    end

    # (see Proxy#cut_at_commit)
    def cut_at_commit(place, times:)
      @ways.each { |way| way.cut_at_commit(place, times: times) }
    end

    # (see Proxy#delay)
    def delay(seconds)
      @ways.each { |way| way.delay(seconds) }
    end

    # (see Proxy#silence)
    def silence(**options)
      @ways.each { |way| way.silence(**options) }
    end

    # (see Proxy#hold)
    # @param place [Integer, nil] of the fleet; nil: everywhere. Default nil.
    def hold(held, place: nil)
      (place ? [@ways.fetch(place)] : @ways).each { |way| way.hold(held) }
    end

    # (see Proxy#calm)
    def calm
      @ways.each(&:calm)
    end

    # @return [void]
    def close
      @ways.each(&:close)
    end
  end
end
