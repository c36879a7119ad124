# frozen_string_literal: true

require "tmpdir"
require_relative "bench_command"

RSpec.describe "bin/bench --peer", timeout: 600 do
  include BenchCommand
  include CommandLine

  # Root installs what Sidekiq needs where it is missing; others have to be told.
  before do |example|
    Bench::Peers::Sidekiq.prepare unless example.metadata[:apalis]
  rescue TaskerCore::InternalError => e
    Process.uid.zero? ? raise : skip(e.message)
  end

  def executes_all_graphs(name, durable:)
    words = ["--peer", name, "--tasks", "20", "--steps", "6", "--processes", "2", "--json"]
    outcome = bench("--workload", Bench::Peers::WORKLOADS.join(","), *words)
    expect([outcome.err, outcome.status]).to eq(["", 0])
    expect(reports(outcome).map { |report| report["workload"] }).to eq(%w[independent linear diamond fan layered])
    reports(outcome).each { |report| compares(report["steps_per_s"], report.fetch("peers").fetch(name), durable) }
  end

  def compares(ours, peer, durable)
    expect(peer).to match("version" => /\A\d+\.\d/, "durable" => durable, "ratio" => be > 0,
                          "steps_per_s" => be > 0, "create_per_s" => be > 0)
    expect(peer["ratio"]).to be_within(0.5).percent_of(ours.fdiv(peer["steps_per_s"]))
  end

  it "executes every graph with Sidekiq as well, and says how many times as fast we are" do
    executes_all_graphs("sidekiq", durable: false)
  end

  # Its 200 crates take minutes to compile.
  it "executes every graph with apalis as well", apalis: true do
    folder = File.join(File.expand_path(ENV.fetch("CARGO_TARGET_DIR", "target")), "release")
    skip("apalis is not compiled: bin/bench --peer apalis does it") unless File.exist?(File.join(folder, "apalis_peer"))
    executes_all_graphs("apalis", durable: true)
  end

  it "measures it after each run of ours, and shows both" do
    outcome = bench(*%w[--workload linear --peer sidekiq --tasks 5 --repeat 2])
    expect([outcome.err, outcome.status]).to eq(["", 0])
    expect(outcome.out).to match(/^sidekiq_steps_per_s( +[\d,]+){3}$.*^times_sidekiq( +[\d.]+){3}$/m)
    peer = JSON.parse(outcome.out.lines.last).dig("peers", "sidekiq")
    expect(peer["runs"]).to match([{ "steps_per_s" => be > 0, "create_per_s" => be > 0 }] * 2)
  end

  it "has exit status 1 and no figures when its jobs were not executed as they must be" do
    allow_any_instance_of(Bench::JobCheck).to receive(:problems).and_return(["a job is missing"])
    outcome = bench(*%w[--workload independent --peer sidekiq --tasks 5 --json])
    expect([outcome.status, outcome.err]).to eq([1, "bench: inconsistent: sidekiq: a job is missing\n"])
    expect(reports(outcome).first.keys & %w[peers steps_per_s]).to eq([])
  end

  it "says what is missing, before it measures anything" do
    stub_const("Bench::Peers::Sidekiq::SETUP", ["sh", "-c", "echo setup: missing: a Redis server; exit 1"])
    allow(Bench::Server).to receive(:open)
    outcome = bench(*%w[--workload linear --peer sidekiq], url: nil)
    expect([outcome.status, outcome.err]).to eq([1, "bench: setup: missing: a Redis server\n"])
    expect(Bench::Server).not_to have_received(:open)
  end

  it "leaves no Redis, process or file behind when it is interrupted" do
    Dir.mktmpdir do |folder|
      File.chmod(0o711, folder)
      words = [RbConfig.ruby, "-w", "bench/engine.rb", "--workload", "linear", "--tasks", "5", "--peer", "sidekiq",
               "--not-durable"]
      running(*words, env: { "TMPDIR" => folder }) do |program|
        redis = wait_until("Redis runs", within: 60) { redis_in(folder) }
        program.signal("INT")
        expect(wait_until("it ends", within: 30) { program.status }).to eq(130)
        wait_until("Redis is gone", within: 30) { !alive?(redis) }
        wait_until("its files are deleted", within: 30) { Dir.empty?(folder) }
      end
    end
  end

  def redis_in(folder)
    Dir.glob("/proc/[0-9]*/cmdline").find do |file|
      words = File.read(file)
      words.start_with?("redis-server") && words.include?(folder)
    rescue SystemCallError
      nil
    end&.slice(/\d+/)&.to_i
  end
end
