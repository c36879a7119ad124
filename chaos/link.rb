# frozen_string_literal: true

require "socket"
require_relative "clock"

module Chaos
  # One connection through the {Proxy}: a client's socket, the server's, and what is on its way between them. Only the
  # proxy's thread touches it.
  class Link
    # The simple query that ends a transaction, as drivers send it (PostgreSQL manual, "Message Formats").
    COMMIT = "Q\0\0\0\vCOMMIT\0".b.freeze
    # Bytes that are read at once.
    CHUNK = 65_536

    # What has been read in one direction and is to be written: chunks and when they are due.
    Flow = Struct.new(:source, :sink, :chunks) do
      # @return [String, nil] bytes; nil: there are none now
      # @raise [EOFError] the source has closed
      def read
        bytes = source.read_nonblock(CHUNK, exception: false)
        raise EOFError if bytes.nil?

        bytes unless bytes == :wait_readable
      end

      # Writes what is due.
      #
      # @return [void]
      def flush
        while chunks.any? && chunks.first.first <= Clock.now
          written = sink.write_nonblock(chunks.first.last, exception: false)
          return if written == :wait_writable

          rest = chunks.first.last.byteslice(written..)
          rest.empty? ? chunks.shift : chunks.first[1] = rest
        end
      end
    end

    # @return [Socket]
    attr_reader :client
    # @return [Socket]
    attr_reader :server

    # @param client [Socket]
    # @param server [Socket]
    def initialize(client, server)
      @client = client
      @server = server
      @up = Flow.new(client, server, [])
      @down = Flow.new(server, client, [])
    end

    # @return [Array<Socket>] those that are read
    def sources
      @ending ? [] : [client, server].reject(&:closed?)
    end

    # @return [Array<Socket>] those that something is to be written to at once
    def sinks
      now = Clock.now
      flows.select { |flow| flow.chunks.any? && flow.chunks.first.first <= now }.map(&:sink).reject(&:closed?)
    end

    # @return [Boolean] whether something is to be written later
    def delayed?
      flows.any? { |flow| flow.chunks.any? }
    end

    # @param bytes [String]
    # @return [Boolean] whether they ask for the commit of a transaction
    def commits?(bytes)
      !silent? && bytes.include?(COMMIT)
    end

    # The next answer will be that of a commit.
    #
    # @return [true]
    def expect_commit
      @commits = true
    end

    # Takes what the client sent.
    #
    # @param due [Float] when it is to be written, on the monotonic clock
    # @yieldparam bytes [String]
    # @yieldreturn [Boolean] whether they go on
    # @return [void]
    def from_client(due, &goes_on)
      pass(@up, due, &goes_on)
    end

    # Takes what the server sent.
    #
    # @param due (see #from_client)
    # @yield when it is the answer to a commit that the client is not to hear
    # @return [void]
    def from_server(due)
      pass(@down, due) do
        yield if @commits
        !@commits
      end
    end

    # Writes what is due, and ends the connection when it is to end and all is written.
    #
    # @return [void]
    def flush
      return if silent? || closed?

      flows.each(&:flush)
      close if @ending && !delayed?
    rescue SystemCallError, IOError
      close
    end

    # From now on nothing comes through.
    #
    # @return [void]
    def silence
      @silent_since = Clock.now
      flows.each { |flow| flow.chunks.clear }
    end

    # @return [Boolean]
    def silent?
      !@silent_since.nil?
    end

    # Ends a connection that has been silent for so long and whose client has left it.
    #
    # @param seconds [Numeric]
    # @return [void]
    def give_up(seconds)
      close if silent? && client.closed? && Clock.now - @silent_since > seconds
    end

    # @return [void]
    def close
      [client, server].each(&:close)
    end

    # @return [Boolean] whether both ends are
    def closed?
      client.closed? && server.closed?
    end

    private

    def flows
      [@up, @down]
    end

    def pass(flow, due)
      return if flow.source.closed?

      bytes = flow.read
      return if bytes.nil? || silent?

      flow.chunks << [due, bytes] if yield(bytes)
    rescue SystemCallError, IOError
      silent? ? flow.source.close : @ending = true
    end
  end
end
