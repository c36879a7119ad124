# frozen_string_literal: true

require_relative "../../chaos/pooler"
require_relative "../../chaos/proxy"
require_relative "../../chaos/server"

RSpec.describe Chaos::Pooler do
  before { skip("PgBouncer is not installed; bin/setup --chaos installs it") unless described_class.installed? }

  def through_pooler
    Chaos::Server.open do |server|
      pooler = described_class.new(server)
      Chaos::Proxy.open(pooler.method(:connect)) { |proxy| yield server, server.url_through(proxy.port) }
    ensure
      pooler&.close
    end
  end

  it "is refused by workers, which need sessions of their own" do
    through_pooler do |server, url|
      worker = TaskerCore::Worker.new(configuration: TaskerCore.configuration.with { |c| c.database_url = url })
      expect { worker.start }.to raise_error(TaskerCore::ConfigurationError, /PgBouncer in transaction mode/)
      expect(server.rows("SELECT FROM tasker_workers")).to be_empty
    end
  end
end
