# frozen_string_literal: true

require_relative "../../bench/engine/pruning"
require_relative "small_run"

RSpec.describe Bench::Pruning, :database do
  def connected(&block)
    TaskerCore::Client.open(TaskerCore.configuration.with { |config| config.database_url = database_url }, &block)
  end

  def tasks
    sql("SELECT count(*) FROM tasker_tasks").first.fetch("count").to_i
  end

  it "deletes what has ended while the block lasts, and knows how much" do
    SmallRun.drain(database_url)
    SmallRun.submit(database_url)
    pruning = connected do |client|
      described_class.beside(client) { wait_until("those that ended are gone") { tasks == 2 } }
    end
    expect(pruning.steps).to eq(10)
    expect(pruning.rows_per_s).to be > 0
  end

  it "says why it could not go on" do
    client = instance_double(TaskerCore::Client)
    allow(client).to receive(:prune).and_raise(TaskerCore::DatabaseUnavailable, "gone")
    expect { described_class.beside(client) { nil } }.to raise_error(TaskerCore::DatabaseUnavailable, "gone")
  end
end
