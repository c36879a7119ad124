# frozen_string_literal: true

require "socket"
require_relative "clock"
require_relative "link"

module Chaos
  # Stands between workers and Postgres, on a TCP port of this machine, and does to connections what networks do. One
  # thread moves all bytes; the methods below may be called from any other.
  class Proxy
    # Seconds between two looks at chunks that are delayed.
    TICK = 0.002
    # Seconds between two looks where nothing is.
    REST = 0.5
    # Seconds until a server that hears nothing of a silent client gives the connection up.
    GIVEN_UP = 300

    # @yieldreturn [Socket] a connection to where bytes go
    # @yieldparam proxy [Proxy]
    # @param upstream [#call] makes a connection to Postgres; raises SystemCallError where that is away
    # @return [Object] what the block returned
    # @example
    #   Proxy.open(-> { UNIXSocket.new(path) }) { |proxy| PG.connect(host: "127.0.0.1", port: proxy.port) }
    def self.open(upstream)
      proxy = new(upstream)
      yield proxy
    ensure
      proxy&.close
    end

    # @return [Integer] TCP port
    attr_reader :port
    # @return [Hash{Symbol => Integer}] connections that were cut :at_once, :before_commit and :after_commit, that went
    #   :silent, and that found Postgres :away
    attr_reader :counts

    # @param upstream [#call] as for {.open}
    def initialize(upstream)
      @upstream = upstream
      @listener = TCPServer.new("127.0.0.1", 0)
      @port = @listener.addr[1]
      @links = []
      @counts = Hash.new(0)
      @delay = 0
      @orders = Queue.new
      @bell, @ringer = IO.pipe
      @thread = Thread.new { run }
      @thread.name = "chaos-proxy"
      @thread.report_on_exception = true
    end

    # Sends connections elsewhere from now on, and cuts those there are.
    #
    # @param upstream [#call] as for {.open}
    # @return [void]
    def redirect(upstream)
      change do
        @upstream = upstream
        @links.each(&:close)
      end
    end

    # Closes connections at both ends.
    #
    # @param share [Float] of all, up to 1.0
    # @param random [Random] chooses them
    # @return [void]
    def cut(share: 1.0, random: Random)
      change do
        some(share, random).each do |link|
          link.close
          @counts[:at_once] += 1
        end
      end
    end

    # Cuts the connections on which the next commits are asked for.
    #
    # @param place [Symbol] :before the server learns of the commit, or :after it has answered and before the client
    #   learns of that
    # @param times [Integer]
    # @return [void]
    def cut_at_commit(place, times:)
      change { @at_commit = [place, times] }
    end

    # @param seconds [Float] that bytes take, in each direction; 0 ends it
    # @return [void]
    def delay(seconds)
      change { @delay = seconds }
    end

    # From now on nothing comes through these connections, and neither end is told so, not even that the other closed.
    #
    # @param share [Float] of all, up to 1.0
    # @param random [Random] chooses them
    # @return [void]
    def silence(share: 1.0, random: Random)
      change do
        some(share, random).each do |link|
          link.silence
          @counts[:silent] += 1
        end
      end
    end

    # Holds everything, new connections too, and lets it go on later.
    #
    # @param held [Boolean]
    # @return [void]
    def hold(held)
      change { @held = held }
    end

    # Faults end, except for connections that are silent already.
    #
    # @return [void]
    def calm
      change do
        @at_commit = nil
        @delay = 0
        @held = false
      end
    end

    # @return [void]
    def close
      change { @closed = true }
      @thread.join
      [@listener, *@links, @bell, @ringer].each(&:close)
    end

    private

    # Has the proxy's thread do it: nobody else touches a connection.
    def change(&order)
      done = Queue.new
      @orders << [order, done]
      @ringer.write_nonblock(".", exception: false)
      done.pop
      nil
    end

    def some(share, random)
      live = @links.reject(&:silent?)
      live.sample((live.size * share).ceil, random: random)
    end

    def run
      until @closed
        work(wait)
        obey
      end
    end

    def wait
      delayed = @links.any?(&:delayed?)
      readable, = IO.select([@bell, *sources], sinks, nil, delayed ? TICK : REST)
      @bell.read_nonblock(512, exception: false)
      readable || []
    end

    def obey
      until @orders.empty?
        order, done = @orders.pop
        order.call
        done << true
      end
    end

    def sources
      @held ? [] : [@listener, *@links.flat_map(&:sources)]
    end

    def sinks
      @held ? [] : @links.flat_map(&:sinks)
    end

    def work(readable)
      accept if readable.include?(@listener)
      @links.each { |link| move(link, readable) } unless @held
      @links.reject!(&:closed?)
    end

    def move(link, readable)
      due = Clock.now + @delay
      link.from_client(due) { |bytes| watch(link, bytes) } if readable.include?(link.client)
      link.from_server(due) { count(:after_commit) && link.close } if readable.include?(link.server)
      link.flush
      link.give_up(GIVEN_UP)
    end

    # @return [Boolean] whether the bytes are to go on
    def watch(link, bytes)
      return true unless @at_commit && link.commits?(bytes)

      place, times = @at_commit
      @at_commit = times > 1 ? [place, times - 1] : nil
      return link.expect_commit if place == :after

      count(:before_commit)
      link.close
      false
    end

    def count(what)
      @counts[what] += 1
    end

    def accept
      client = @listener.accept_nonblock
      client.setsockopt(Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1)
      @links << Link.new(client, @upstream.call)
    rescue IO::WaitReadable
      nil
    rescue SystemCallError
      count(:away)
      client&.close
    end
  end
end
