# frozen_string_literal: true

require "open3"
require "rbconfig"

# In processes of their own: the test kit changes the client of the process that loads it.
RSpec.describe "the test kit", :database do
  include CommandLine
  include ForkedRecords

  fixtures = File.expand_path("../fixtures/testing", __dir__)
  lib = File.expand_path("../../lib", __dir__)

  define_method(:ruby) do |*arguments, env: {}|
    env = { "DATABASE_URL" => database_url, "TASKER_ENV" => "test", **env }
    Dir.mktmpdir do |folder|
      output, status = Open3.capture2e(env, RbConfig.ruby, "-I", lib, *arguments, chdir: folder)
      return [output, status.success?]
    end
  end

  define_method(:suite) { |env: {}| ruby("-S", "rspec", "--no-color", "#{fixtures}/orders_suite.rb", env: env) }

  it "has matchers that hold" do
    output, success = suite
    expect(output).to include("8 examples, 0 failures")
    expect(success).to be(true)
  end

  it "says what is wrong, and shows the graph" do
    output, = suite(env: { "WITH_FAILURES" => "1" })
    expect(output).to include("20 examples, 12 failures")
    expect(output).to match(/expected it not to complete\n\s+task \d+: ✓ complete\n\s+✓ complete +charge/)
    expect(output.lines.map(&:strip).join("\n")).to include(
      "expected the task to be complete, it is blocked\n", "charge (1 attempt)\n",
      "ship (1 attempt) TaskerCore::BlockedError: no address",
      %(expected ship to have returned {:payment=>"p-8"}, it returned {"payment"=>"p-7"}),
      "expected the order ship, charge; they began as charge, ship",
      "expected no steps to have run but ship; also ran: charge", "expected ship to have run",
      "expected charge to have been tried again 3 times, it was 1 times",
      "expected the task to be waiting for the signal paid; it waits for signal packed",
      "expected order to be submitted with {:a=>1}; submitted were:\norder {}", 'has no step "shp"',
      %(expected order to be submitted with a hash including {"a" => 1}; none was),
      "expected it not to enqueue a task order\nsubmitted were:\norder {}"
    )
  end

  it "has assertions for Minitest" do
    output, success = ruby("#{fixtures}/orders_test.rb")
    expect(output).to include("4 runs, ", " 0 failures, 0 errors")
    expect(success).to be(true)
  end

  { "a connection" => {}, "Active Record" => { "WITH_ACTIVE_RECORD" => "1" } }.each do |what, env|
    it "executes tasks in the transaction of the test, on #{what}" do
      skip_without_active_record if env.any?
      output, success = ruby("-S", "rspec", "--no-color", "#{fixtures}/inline_suite.rb", env: env)
      expect(output).to include("22 examples, 0 failures")
      expect(success).to be(true)
    end
  end

  it "executes tasks without a database" do
    output, success = ruby("#{fixtures}/memory.rb", env: { "DATABASE_URL" => nil, "TASKER_DATA_DIR" => "none" })
    expect(output.lines(chomp: true)).to eq(["complete", "0 left", "1000 complete", "nothing anywhere else"])
    expect(success).to be(true)
  end

  it "has the same histories in all modes", timeout: 300 do
    workflows = %w[conduct branches growing subworkflows waiting].map { |name| "#{fixtures}/../#{name}_workflow.rb" }
    told = ->(mode) { JSON.parse(ruby("#{fixtures}/conformance.rb", mode).first) }
    histories = %w[real inline memory].to_h { |mode| [mode, told.call(mode)] }
    working = workflows.flat_map { |workflow| ["-r", workflow] }
    tasker_running("work", *working, "-c", "2") do
      tasker_running("work", *working, "-c", "2") do
        working = "SELECT count(*) FROM tasker_workers WHERE state = 'running'"
        wait_until("both work") { sql(working).first["count"].to_i == 2 }
        histories["processes"] = told.call("processes")
      end
    end
    expect(histories["real"].size).to eq(13)
    expect(histories["real"].values).to all(be_any)
    histories.each_value { |others| expect(others).to eq(histories["real"]) }
  end
end
