# frozen_string_literal: true

require "json"
require "open3"
require "rbconfig"

RSpec.describe "The micro benches in Ruby" do
  def bench(name, *arguments)
    file = File.expand_path("../../bench/#{name}.rb", __dir__)
    Open3.capture3({ "TASKER_TEST_DATABASE_URL" => TestServer.url }, RbConfig.ruby, file, *arguments)
  end

  def figures(name, *arguments)
    output, errors, status = bench(name, *arguments)
    expect([status.exitstatus, errors]).to eq([0, ""])
    JSON.parse(output.lines.last)
  end

  it "measure calls and round trips" do
    found = figures("boundary", "--steps", "40", "--threads", "2")

    expect(found).to include("bench" => "boundary", "steps" => 40)
    expect(found.keys.grep(/_(ns|us)\z/)).to eq(
      %w[ruby_call_ns native_call_ns native_json_call_ns native_wait_call_ns round_trip_us round_trip_ruby_cpu_us]
    )
    expect(found.fetch("round_trip_us")).to be > found.fetch("round_trip_ruby_cpu_us")
  end

  it "compare a step with its handler" do
    found = figures("overhead", "--steps", "40", "--threads", "2")

    expect(found).to include("bench" => "overhead", "steps" => 40, "threads" => 2)
    expect(found.fetch("engine_us")).to be > found.fetch("runner_us")
    expect(found.fetch("runner_us")).to be > found.fetch("plain_us")
    expect(found.fetch("overhead_us")).to be_positive if File.directory?("/proc/self/task")
  end

  it "refuse arguments that they do not know" do
    [["--steps", "0"], ["--threads", "65"], ["--frequency"], ["100"]].each do |arguments|
      output, errors, status = bench("overhead", *arguments)

      expect([status.exitstatus, output]).to eq([2, ""])
      expect(errors).to start_with("overhead.rb: ").and include("--help shows what is allowed")
    end
  end
end
