# frozen_string_literal: true

require_relative "proxy"

module Chaos
  # The ways to Postgres: one {Proxy} for each place of the fleet and one for the client, so that faults happen to all
  # of them or to the host of one worker.
  class Network
    # @param upstream [#call] makes a connection to Postgres; raises SystemCallError where that is away
    # @param hosts [Integer] places of the fleet
    # @yieldparam network [Network]
    # @return [Object] what the block returned
    # @example
    #   Network.open(-> { UNIXSocket.new(path) }, 3) { |network| network.ports } # => [40001, 40002, 40003, 40004]
    def self.open(upstream, hosts)
      network = new(upstream, hosts)
      yield network
    ensure
      network&.close
    end

    # @param upstream (see .open)
    # @param hosts (see .open)
    def initialize(upstream, hosts)
      @ways = Array.new(hosts + 1) { Proxy.new(upstream) }
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
