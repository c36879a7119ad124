# frozen_string_literal: true

require "json"
require "pg"

# For examples with the metadata `:database`: a database of their own, migrated unless the metadata
# says `database: :empty`. At the end of the example nobody may be connected to it any more, and
# `doctor` must find nothing wrong with it unless the metadata says `doctor: false`.
#
# @example
#   RSpec.describe TaskerCore::Client, :database do
#     it "submits" do
#       client = described_class.new(url: database_url)
#       expect(sql("SELECT count(*) FROM tasker_tasks")).to eq([{ "count" => "1" }])
#     end
#   end
module DatabaseHelpers
  # Seconds that connections may take to end.
  PATIENCE_SECONDS = 5

  # @return [String] URL of the example's database
  attr_reader :database_url

  # @param statement [String] one statement, with $1, $2, ... for the values
  # @param values [Array<Object>]
  # @return [Array<Hash{String => String}>] its rows
  def sql(statement, *values)
    connection = PG.connect(database_url)
    connection.exec_params(statement, values).to_a
  ensure
    connection&.close
  end

  # One more database, for examples that need two.
  #
  # @param migrated [Boolean] whether it has the gem's tables
  # @yieldparam url [String]
  # @return [Object] what the block returns
  def with_database(migrated: true)
    name = TestServer.create_database(migrated: migrated)
    yield TestServer.url_of(name)
  ensure
    TestServer.drop_database(name) if name
  end

  class << self
    # @param context [Object] the example's instance
    # @param example [RSpec::Core::Example::Procsy]
    # @return [void]
    def around(context, example)
      migrated = example.metadata[:database] != :empty
      name = TestServer.create_database(migrated: migrated)
      context.instance_variable_set(:@database_url, TestServer.url_of(name))
      example.run
      check(name, doctor: migrated && example.metadata[:doctor] != false) unless example.example.exception
    ensure
      TestServer.drop_database(name) if name
    end

    private

    def check(name, doctor:)
      refuse_connections(name)
      refuse_findings(TestServer.url_of(name)) if doctor
    end

    def refuse_connections(name)
      Waiting.wait_until("all connections of the example end", within: PATIENCE_SECONDS) do
        TestServer.connections_to(name).empty?
      end
    rescue RuntimeError => e
      raise "#{e.message}; left: #{TestServer.connections_to(name).join("; ")}"
    end

    def refuse_findings(url)
      client = TaskerCore::Internal::Bridge::Client.connect(JSON.generate("url" => url))
      report = JSON.parse(client.doctor(60_000))
      raise "doctor found: #{report["checks"].reject { |check| check["ok"] }}" unless report["ok"]
    ensure
      client&.close
    end
  end
end
