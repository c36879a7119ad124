# frozen_string_literal: true

require "socket"
require_relative "../../chaos/proxy"

RSpec.describe Chaos::Proxy do
  commit = Chaos::Link::COMMIT

  # A server that sends back what it gets and remembers it.
  around do |example|
    @upstream = TCPServer.new("127.0.0.1", 0)
    @seen = Queue.new
    server = Thread.new { loop { serve(@upstream.accept) } }
    described_class.open(-> { TCPSocket.new("127.0.0.1", @upstream.addr[1]) }) do |proxy|
      @proxy = proxy
      example.run
    end
  ensure
    server.kill.join
    (@served || []).each { |thread| thread.kill.join }
    @upstream.close
  end

  attr_reader :proxy

  def serve(socket)
    (@served ||= []) << Thread.new do
      loop do
        bytes = socket.readpartial(1024)
        @seen << bytes
        socket.write(bytes)
      end
    rescue SystemCallError, IOError
      @seen << :closed
      socket.close
    end
  end

  def connect
    socket = TCPSocket.new("127.0.0.1", proxy.port)
    yield socket
  ensure
    socket&.close
  end

  def say(socket, text)
    socket.write(text)
    read(socket, text.bytesize)
  end

  # What comes within half a second; nil where the connection was closed.
  def read(socket, bytes = 1024)
    socket.wait_readable(0.5) ? socket.readpartial(bytes) : ""
  rescue EOFError, Errno::ECONNRESET
    nil
  end

  it "lets everything through, in both directions" do
    large = "x" * 500_000
    connect do |socket|
      expect(say(socket, "hello")).to eq("hello")
      writer = Thread.new { socket.write(large) }
      expect(socket.read(large.bytesize)).to eq(large)
      writer.join
    end
    wait_until("the server is told that the client closed") { @seen.size.positive? && @seen.pop == :closed }
  end

  it "cuts connections at both ends" do
    connect do |socket|
      say(socket, "hello")
      proxy.cut
      expect(read(socket)).to be_nil
      wait_until("the server is told") { @seen.pop == :closed }
    end
    expect(proxy.counts[:at_once]).to eq(1)
  end

  it "cuts before a commit: the server does not learn of it" do
    proxy.cut_at_commit(:before, times: 1)
    connect do |socket|
      say(socket, "hello")
      socket.write(commit)
      expect(read(socket)).to be_nil
      expect([@seen.pop, @seen.pop]).to eq(["hello", :closed])
    end
    connect { |socket| expect(say(socket, commit)).to eq(commit) }
    expect(proxy.counts[:before_commit]).to eq(1)
  end

  it "cuts after a commit: the server has answered, and the client does not learn of that" do
    proxy.cut_at_commit(:after, times: 1)
    connect do |socket|
      say(socket, "hello")
      socket.write(commit)
      expect(read(socket)).to be_nil
      expect([@seen.pop, @seen.pop, @seen.pop]).to eq(["hello", commit, :closed])
    end
    expect(proxy.counts[:after_commit]).to eq(1)
  end

  it "delays both directions" do
    proxy.delay(0.1)
    connect do |socket|
      began = TaskerCore::Internal::Clock.seconds
      expect(say(socket, "hello")).to eq("hello")
      expect(TaskerCore::Internal::Clock.seconds - began).to be > 0.2
    end
  end

  it "makes connections silent: nothing comes through, and neither end is told when the other closes" do
    connect do |socket|
      say(socket, "hello")
      proxy.silence
      expect(say(socket, "anybody?")).to eq("")
    end
    connect { |socket| expect(say(socket, "me")).to eq("me") }
    expect([@seen.pop, @seen.pop]).to eq(%w[hello me])
  end

  it "holds everything and lets it go on later" do
    connect do |socket|
      say(socket, "hello")
      proxy.hold(true)
      expect(say(socket, "late")).to eq("")
      proxy.hold(false)
      expect(read(socket)).to eq("late")
    end
  end

  it "sends connections elsewhere, and closes those that find nobody there" do
    connect do |socket|
      say(socket, "hello")
      proxy.redirect(-> { raise Errno::ECONNREFUSED })
      expect(read(socket)).to be_nil
    end
    connect { |socket| expect(read(socket)).to be_nil }
    expect(proxy.counts[:away]).to eq(1)
  end
end
