# frozen_string_literal: true

require "socket"

# A real HTTP server on a free port of the loopback interface, which answers as the example says.
#
# @example
#   HttpService.open(->(request) { [200, { "Content-Type" => "application/json" }, "[]"] }) do |service|
#     Net::HTTP.get(URI("#{service.url}/orders"))
#     service.requests.first.path # => "/orders"
#   end
class HttpService
  Request = Struct.new(:verb, :path, :headers, :body, keyword_init: true)

  # @param answer [#call] takes a {Request}, gives status, headers and body
  # @yieldparam service [HttpService]
  def self.open(answer)
    service = new(answer)
    yield service
  ensure
    service&.close
  end

  # @return [String] without a path
  attr_reader :url

  def initialize(answer)
    @answer = answer
    @requests = Queue.new
    @server = TCPServer.new("127.0.0.1", 0)
    @url = "http://127.0.0.1:#{@server.addr[1]}"
    @threads = [Thread.new { accept }]
  end

  # @return [Array<Request>] all that came so far
  def requests
    taken = Array.new(@requests.size) { @requests.pop }
    (@all ||= []).concat(taken)
  end

  # Ends the server and what it does.
  def close
    @threads.each { |thread| thread.kill.join }
    @server.close
  end

  private

  def accept
    loop do
      socket = @server.accept
      @threads << Thread.new { serve(socket) }
    end
  end

  def serve(socket)
    request = read(socket)
    return unless request

    @requests << request
    status, headers, body = @answer.call(request)
    head = { "Content-Length" => body.bytesize, "Connection" => "close", **headers }
    socket.write("HTTP/1.1 #{status} x\r\n#{head.map { |key, value| "#{key}: #{value}\r\n" }.join}\r\n#{body}")
  rescue SystemCallError, IOError
    nil # who asked has gone
  ensure
    socket.close
  end

  def read(socket)
    verb, path = socket.gets.to_s.split
    return unless path

    headers = {}
    while (line = socket.gets.to_s.chomp) != ""
      name, value = line.split(": ", 2)
      headers[name.downcase] = value
    end
    Request.new(verb: verb, path: path, headers: headers, body: socket.read(headers["content-length"].to_i))
  end
end
