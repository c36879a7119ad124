# frozen_string_literal: true

require_relative "../../chaos/proxy"

# Has the library reach the example's database (metadata `:database`) through a {Chaos::Proxy}. Needs {Workflows}.
module Outages
  # Connections that are tried in vain before the database is there again: everybody has noticed by then.
  ATTEMPTS = 8

  # @yieldparam proxy [Chaos::Proxy]
  # @return [void]
  def through_proxy
    Chaos::Proxy.open(upstream) do |proxy|
      place = connection_info
      use_database("postgres://#{place.fetch("user")}@127.0.0.1:#{proxy.port}/#{place.fetch("dbname")}")
      yield proxy
      TaskerCore.client.close
    end
  end

  # Cuts all connections; no other can be made.
  #
  # @param proxy [Chaos::Proxy]
  # @return [void]
  def take_away(proxy)
    proxy.redirect(-> { raise Errno::ECONNREFUSED })
  end

  # Waits until the database was missed, and has it there again.
  #
  # @param proxy [Chaos::Proxy]
  # @return [void]
  def bring_back(proxy)
    wait_until("the database is missed") { proxy.counts[:away] >= ATTEMPTS }
    proxy.redirect(upstream)
  end

  private

  def upstream
    place = connection_info
    host = place.fetch("host")
    port = place["port"] || 5432
    socket = -> { UNIXSocket.new("#{host}/.s.PGSQL.#{port}") }
    host.start_with?("/") ? socket : -> { TCPSocket.new(host, port) }
  end

  def connection_info
    PG::Connection.conninfo_parse(database_url).to_h { |option| option.values_at(:keyword, :val) }
  end
end
