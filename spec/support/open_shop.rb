# frozen_string_literal: true

require "socket"

# For examples that use the shop of examples/shop, started by its own command; beside {CommandLine} and {PrivateData}.
#
# @example
#   shop { |program| Net::HTTP.get(URI("http://127.0.0.1:#{port}/")) }
module OpenShop
  # @return [Integer]
  def port
    @port ||= TCPServer.open("127.0.0.1", 0) { |server| server.addr[1] }
  end

  # @yieldparam program [CommandLine::Running] while it is open
  # @return [Object] what the block returned
  def shop
    skip("needs Rails; bin/setup --tests installs it") if Gem::Specification.find_all_by_name("railties").empty?
    env = { "TASKER_DATA_DIR" => data, "PORT" => port.to_s }
    running(RbConfig.ruby, "examples/shop/bin/shop", env: env) do |program|
      wait_until("the shop opens", within: 60) { opened? || ended(program) }
      reader = Thread.new { loop { program.text && sleep(0.05) } }
      yield program
    ensure
      reader&.kill&.join
    end
  end

  def opened?
    TCPSocket.open("127.0.0.1", port, &:close)
    true
  rescue Errno::ECONNREFUSED
    false
  end

  def ended(program)
    raise "the shop ended: #{program.text}" if program.status
  end
end
