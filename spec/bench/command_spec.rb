# frozen_string_literal: true

require "tmpdir"
require_relative "bench_command"

RSpec.describe "bin/bench" do
  include BenchCommand
  include CommandLine

  # What each workload can know.
  speeds = %w[steps_per_s create_per_s total_s]
  costs = %w[commits_per_step wal_bytes_per_step engine_cpu_us_per_step postgres_cpu_us_per_step peak_rss_mb]
  waits = %w[handover_p50_ms handover_p99_ms submit_p50_ms submit_p99_ms]
  rests = %w[queries_per_s engine_cpu_ms_per_s postgres_cpu_ms_per_s]
  sizes = %w[total_s peak_rss_mb size_mb]
  expected = { "latency" => ["total_s", *waits, *costs], "create" => [*speeds.drop(1), *costs],
               "idle" => ["peak_rss_mb", *rests], "soak" => ["steps_per_s", *sizes],
               "map" => [*speeds, *costs, "first_item_s", "items_per_s"],
               "size" => ["submit_s", "size_ratio", "steps_per_s", "total_s", *costs],
               "flat" => ["recovery_s", "pruned_rows_per_s", *sizes] }
  expected.default = [*speeds, *costs]

  def known(report)
    Bench::Run::MEASURES.keys.select { |name| report.fetch(name) } - ["deadlocks"]
  end

  it "measures every workload but flat, each in a database that is dropped afterwards" do
    outcome = bench(*%w[--workload all --tasks 4 --steps 12 --processes 2 --seconds 1 --json])
    expect([outcome.err, outcome.status]).to eq(["", 0])
    expect(reports(outcome).map { |report| [report["workload"], known(report).sort] })
      .to eq((Bench::Workload.names - ["flat"]).map { |name| [name, expected[name].sort] })
    expect(reports(outcome).map { |report| report.values_at("consistent", "steps") }.uniq)
      .to eq([[true, 48], [true, 0]])
    expect(databases).to eq([])
  end

  def databases
    connection = PG.connect(TestServer.url)
    connection.exec("SELECT datname FROM pg_database WHERE datname LIKE 'tasker_bench_#{Process.pid}_%'").values
  ensure
    connection&.close
  end

  it "soaks: tasks are deleted while others are made, and the tables stop growing", timeout: 120 do
    outcome = bench(*%w[--workload soak --tasks 50 --seconds 10 --json])
    expect([outcome.err, outcome.status]).to eq(["", 0])
    report = reports(outcome).first
    expect(report["size_growth"]).to be > 0.1
    expect(report["intervals"].size).to eq(12)
    expect(report["intervals"]).to all(match("steps_per_s" => be > 0, "size_mb" => be > 0, "rss_mb" => be > 10))
  end

  it "soaks with results of 100 KB: the memory of a worker stops growing", timeout: 120 do
    outcome = bench(*%w[--workload soak --tasks 5 --payload 100000 --seconds 12 --json])
    expect([outcome.err, outcome.status]).to eq(["", 0])
    report = reports(outcome).first
    expect(report["rss_growth"]).to be > 0.5
    expect(report["peak_rss_mb"]).to be < 300
  end

  it "gives each workload of all those options that have an effect on it" do
    allow_any_instance_of(Bench::Command).to receive(:measure_once) do |_command, settings|
      [Bench::Run::Result.new(Bench::Run::MEASURES.merge("total_s" => settings.seconds || 0), [], {})]
    end
    words = %w[--workload all --tasks 3 --processes 2 --payload 9 --seconds 7 --json]
    told = reports(bench(*words)).to_h do |report|
      [report["workload"], report.values_at("tasks", "processes", "payload", "total_s")]
    end
    expect(told).to include("linear" => [3, 2, 9, 0], "create" => [3, 1, 0, 0], "idle" => [0, 2, 0, 7])
  end

  it "compares sizes of tasks with one another" do
    report = reports(bench(*%w[--workload size --steps 200 --json])).first
    expect(report.fetch("sizes").map { |one| one.values_at("size", "tasks") }).to eq([[100, 3], [200, 2]])
    expect(report.values_at("consistent", "size_ratio")).to match([true, be > 0])
    expect(report.fetch("sizes").first).to include("ratio" => 1.0, "submit_s" => be > 0, "first_s" => be > 0)
  end

  it "fails where tasks of full size take more than they may" do
    stub_const("Bench::Size::FULL", 200)
    stub_const("Bench::Size::MOST", { "submit_s" => 0, "peak_rss_mb" => 300, "ratio" => 100 })
    outcome = bench(*%w[--workload size --steps 200])
    expect([outcome.status, outcome.err])
      .to match([1, /\A(bench: inconsistent: submit_s is [\d.]+ with tasks of (100|200) steps; allowed: 0\n){2}\z/])
  end

  it "maps: every item is executed, and the step below reads all of them, once" do
    outcome = bench(*%w[--workload map --items 30 --max-parallel 3 --tasks 2 --json])
    expect([outcome.err, outcome.status]).to eq(["", 0])
    expect(reports(outcome).first)
      .to include("steps" => 64, "edges" => 62, "max_parallel" => 3, "items_per_s" => be > 0, "first_item_s" => be > 0)
  end

  it "gives the parts of each of several runs" do
    report = reports(bench(*%w[--workload soak --tasks 5 --seconds 1 --repeat 2 --json])).first
    expect(report.fetch("intervals").map(&:size)).to eq([12, 12])
  end

  it "fails when the tables do not stop growing", timeout: 120 do
    stub_const("Bench::Soak::RETENTION", 3)
    stub_const("Bench::Soak::SHORTEST", 6)
    stub_const("Bench::Soak::MOST_GROWTH", 1.0)
    stub_const("Bench::Soak::MOST_MEGABYTES", 0)
    outcome = bench(*%w[--workload soak --tasks 50 --seconds 6])
    expect([outcome.status, outcome.err]).to match([1, /the tables grew from [\d.]+ MB in the middle third to/])
  end

  # Each phase is one round, too small for its speed to say anything.
  def flat(*words, recovered: 0.0)
    stub_const("Bench::Flat::ROUNDS", 1)
    stub_const("Bench::Flat::RECOVERED", recovered)
    bench(*%w[--workload flat --backlog 195 --tasks 5 --seconds 1 --json], *words)
  end

  # The url of the database and the linear speed of every round, in their order.
  def record_rounds
    rounds = []
    allow(Bench::Rounds).to receive(:new).and_wrap_original do |original, settings, server, url, **rest|
      original.call(settings, server, url, **rest).tap do |one|
        allow(one).to receive(:round).and_wrap_original do |round|
          round.call.tap { |cost| rounds << [url, cost.linear.steps_per_s] }
        end
      end
    end
    rounds
  end

  it "compares rounds in full tables with rounds in new ones, and beside an old transaction", timeout: 120 do
    rounds = record_rounds
    outcome = flat
    expect([outcome.err, outcome.status]).to eq(["", 0])
    report = reports(outcome).first
    expect(known(report)).to match_array(expected["flat"])
    phases = report.fetch("phases")
    expect(phases.map { |phase| phase["phase"] })
      .to eq(%w[empty finished pending snapshot_begin snapshot_end recovered pruning])
    expect(phases.map { |phase| phase["steps_before"] }).to match([0, 270, 538, 608, be >= 678, be > 678, be > 748])
    expect(phases).to all(include("linear_cpu_us_per_step" => be > 0, "independent_cpu_us_per_step" => be > 0))
    pairs = rounds.each_slice(2).first(4)
    expect(pairs.map { |(_, empty), (_, full)| (full / empty).round(3) })
      .to eq(phases.first(4).map { |phase| phase["ratio_linear"] })
    expect(pairs.map { |(empty, _), (full, _)| [empty, full] }.transpose.map { |urls| urls.uniq.size }).to eq([4, 1])
  end

  it "says so when the engine does not recover from an old transaction", timeout: 120 do
    stub_const("Bench::Flat::PATIENCE", 1)
    outcome = flat(recovered: 1_000.0)
    expect([outcome.err, outcome.status]).to eq(["", 0])
    report = reports(outcome).first
    expect(report.fetch("recovery_s")).to be_nil
    phases = report.fetch("phases").to_h { |phase| [phase["phase"], phase["steps_before"]] }
    expect(phases["recovered"] - phases["snapshot_end"]).to be >= 140
  end

  it "fails where full tables, or an old transaction, cost more than they may", timeout: 120 do
    stub_const("Bench::Flat::FULL", 195)
    stub_const("Bench::Flat::LEAST", { "finished" => 0.0, "pending" => 900, "snapshot_end" => 800 })
    stub_const("Bench::Flat::PATIENCE", 1)
    outcome = flat(recovered: 1_000.0)
    slow = ->(phase, least) { /: ratio_(linear|independent) is [\d.]+ in the phase #{phase}; allowed: #{least} or/ }
    recovered = /: no round within 1 s after the transaction was as fast as 1000.0 of those before it$/
    expect([outcome.status, outcome.err.lines])
      .to match([1, [*[slow["pending", 900]] * 2, *[slow["snapshot_end", 800]] * 2, recovered]])
  end

  it "fails when the doctor does not name the transaction, or steps that nobody serves are executed", timeout: 120 do
    stub_const("Bench::Flat::OLD", 1_000.0)
    stub_const("Bench::Flat::LATER", nil)
    outcome = flat
    expect([outcome.status, outcome.err])
      .to match([1, /inconsistent: tasker doctor does not name session \d+, whose transaction holds a snapshot/])
    expect(outcome.err).to match(/inconsistent: handlers started \d+ times for \d+ steps/)
  end

  it "runs the workloads of the size that they have by default, but for the number of tasks" do
    outcome = bench("--workload", "independent,diamond,fan,layered", "--tasks", "1", "--json")
    expect([outcome.err, outcome.status]).to eq(["", 0])
    expect(reports(outcome).map { |report| report.values_at("steps", "edges") }).to match(
      [[1, 0], [4, 4], [502, 1000], [1000, be_between(1_500, 2_500)]]
    )
  end

  it "reads whole numbers as decimal ones" do
    report = reports(bench(*%w[--workload create --tasks 010 --steps 1 --json])).first
    expect(report["tasks"]).to eq(10)
  end

  it "gives the median of several runs, and text before the last line" do
    outcome = bench("--workload", "create", "--tasks", "2", "--repeat", "3")
    *text, last = outcome.out.lines
    expect(text.first(2)).to match([/\Acreate: handler ruby.*tasks 2, steps 20/,
                                    /\AMEASURE +MEDIAN +RUN 1 +RUN 2 +RUN 3$/])
    report = JSON.parse(last)
    runs = report.fetch("runs").map { |run| run.fetch("create_per_s") }
    expect([runs.size, report.fetch("create_per_s")]).to eq([3, runs.sort[1]])
  end

  it "lets handlers return a payload, which is kept" do
    plain, large = %w[0 900000].map do |bytes|
      reports(bench("--workload", "linear", "--tasks", "4", "--payload", bytes, "--json")).first
    end
    expect(large.fetch("wal_bytes_per_step") - plain.fetch("wal_bytes_per_step")).to be > 5_000
  end

  # The block gets a session in the database of a run, and goes on while the workers of that do.
  def beside_workers
    allow(Bench::Fleet).to receive(:open).and_wrap_original do |open, settings, url, &block|
      connection = PG.connect(url)
      thread = Thread.new { yield connection, url }
      open.call(settings, url, &block)
    ensure
      thread&.kill&.join
      connection&.close
    end
  end

  it "counts what idle workers do when they rest, and not what they do to start" do
    outcome = bench(*%w[--workload idle --processes 2 --seconds 10 --json], url: nil)
    expect([outcome.err, outcome.status]).to eq(["", 0])
    expect(reports(outcome).first.fetch("queries_per_s")).to be_between(0.1, 1.3)
  end

  it "fails when idle workers do not rest" do
    stub_const("Bench::Idle::SHORTEST", 2)
    beside_workers { |connection| loop { connection.exec("SELECT pg_sleep(0.05) FROM pg_class LIMIT 1") } }
    outcome = bench(*%w[--workload idle --seconds 2])
    expect([outcome.status, outcome.err])
      .to match([1, /\Abench: inconsistent: idle workers made \d\d\.\d+ transactions a second; allowed: 1.0$/])
  end

  # Two sessions lock two things, each first what the other locks last.
  def deadlock(one, url)
    other = PG.connect(url)
    [one, other].each.with_index(1) do |session, thing|
      session.exec("SET deadlock_timeout = 10; BEGIN; SELECT pg_advisory_xact_lock(#{thing})")
    end
    one.send_query("SELECT pg_advisory_xact_lock(2)")
    other.exec("SELECT pg_advisory_xact_lock(1)")
  rescue PG::TRDeadlockDetected
    nil
  ensure
    other&.close
  end

  it "counts deadlocks, and fails when there are any" do
    outcome = bench(*%w[--workload linear --tasks 5 --json])
    expect([outcome.err, reports(outcome).first["deadlocks"]]).to eq(["", 0])
    beside_workers { |connection, url| deadlock(connection, url) }
    outcome = bench(*%w[--workload idle --seconds 1])
    expect([outcome.status, outcome.err])
      .to eq([1, "bench: inconsistent: Postgres ended transactions because of deadlocks: 1\n"])
  end

  it "tells what each statement took" do
    outcome = bench(*%w[--workload diamond,create --tasks 3 --profile], url: nil)
    expect([outcome.err, outcome.status]).to eq(["", 0])
    expect(outcome.out).to match(/^PART +STATEMENT +US_PER_STEP +CALLS_PER_STEP +ROWS_PER_STEP$/)
    executed, created = outcome.out.lines.grep(/\A{/).map { |line| JSON.parse(line).fetch("profile") }
    times = executed.map { |one| one["us_per_step"] }
    expect([times.min, times[0..-2]]).to match([be >= 0, times[0..-2].sort.reverse])
    names = executed.map { |one| one["statement"] }
    expect(names).to include("apply_decisions.sql", "lock_tasks.sql", "COMMIT")
    expect(names).not_to include("create_tasks.sql")
    expect(created).to include(include("statement" => "create_tasks.sql", "calls_per_step" => 0.03333))
  end

  it "lets handlers compute" do
    outcome = bench(*%w[--workload independent --tasks 20 --work 20000 --concurrency 1 --json])
    expect(reports(outcome)).to match([include("work_us" => 20_000, "steps_per_s" => be <= 50,
                                               "engine_cpu_us_per_step" => be >= 20_000)])
  end

  it "lets a subscriber count the events of each process, which must be all" do
    outcome = bench(*%w[--workload diamond,linear --tasks 6 --processes 2 --subscribe --json])
    expect([outcome.err, outcome.status]).to eq(["", 0])
    expect(reports(outcome)).to all(include("subscribe" => true, "events_per_s" => be > 0))
    expect(reports(outcome).map { |report| report["events"] }).to match([be >= 60, be >= 132])
  end

  it "fails when a subscriber misses an event" do
    stub_const("Bench::RecordQueries::TRANSITIONS", "SELECT 1000")
    outcome = bench(*%w[--workload linear --tasks 1 --subscribe])
    expect([outcome.status, outcome.err]).to match([1, /told 22 events of 1000 transitions/])
  end

  it "says how durable the server is" do
    report = reports(bench("--workload", "create", "--tasks", "1", "--json")).first
    expect(report).to include("postgres" => /\A\d+/, "fsync" => "on", "synchronous_commit" => "on",
                              "full_page_writes" => "on", "cores" => Etc.nprocessors)
    expect(report["durable"]).to be(!Bench::Server::IN_MEMORY.include?(report["filesystem"]))
  end

  def with_server(settings)
    server = TaskerCore::Internal::PrivateServer.start(settings: settings)
    yield server.url
  ensure
    server&.stop
  end

  it "measures a server that is not durable only when it is told to, and says so" do
    words = %w[--workload create --tasks 1]
    with_server("fsync" => "off", "synchronous_commit" => "off") do |url|
      allow(Bench::Creation).to receive(:new).and_call_original
      outcome = bench(*words, url: url, durable: true)
      expect([outcome.status, outcome.out, outcome.err])
        .to match([2, "", /may lose in a crash .*: fsync is off, synchronous_commit is off.*; --not-durable measures/])
      expect(Bench::Creation).not_to have_received(:new)
      outcome = bench(*words, url: url)
      expect([outcome.status, outcome.err, outcome.out]).to match([0, "", /\Acreate: .*, not durable$/])
      expect(JSON.parse(outcome.out.lines.last)).to include("durable" => false, "fsync" => "off")
    end
  end

  # The first run may compile the program.
  it "measures handlers in Rust", timeout: 900 do
    profile = ENV.fetch("RB_SYS_CARGO_PROFILE", nil)
    ENV["RB_SYS_CARGO_PROFILE"] = "dev"
    names = Bench::Peers::WORKLOADS + ["latency"]
    words = %w[--handler rust --tasks 3 --steps 5 --processes 2 --work 3000 --json]
    outcome = bench("--workload", names.join(","), *words)
    expect([outcome.err, outcome.status]).to eq(["", 0])
    expect(reports(outcome).map { |report| known(report).sort }).to eq(names.map { |name| expected[name].sort })
    expect(reports(outcome)).to all(include("work_us" => 3_000, "engine_cpu_us_per_step" => be >= 3_000))
    idle = bench(*%w[--workload idle --handler rust --processes 2 --seconds 1 --json])
    expect([idle.err, idle.status, known(reports(idle).first).sort]).to eq(["", 0, expected["idle"].sort])
  ensure
    ENV["RB_SYS_CARGO_PROFILE"] = profile
  end

  { [] => /missing --workload/, ["--workload", ""] => /--workload has an empty name; allowed: independent, linear,/,
    %w[--workload ,] => /--workload has an empty name/, %w[--workload linear,,fan] => /--workload has an empty name/,
    ["--workload", "linear", "--peer", ""] => /--peer has an empty name; allowed: sidekiq, apalis$/,
    %w[--workload linear --tasks 0x10] => /invalid argument: --tasks 0x10; allowed: a whole number/,
    %w[--workload spiral] => /is spiral; allowed: independent, linear,.*, all$/,
    %w[--workload linear --tasks 0] => /--tasks is 0; allowed: 1 to 10000000/,
    %w[--workload linear --tasks ten] => /invalid argument: --tasks ten/,
    %w[--workload linear,fan --steps 2] => /--steps is 2; allowed for fan: 3 or more/,
    %w[--workload linear --processes 65] => /--processes is 65; allowed: 1 to 64/,
    %w[--workload flat --backlog 0] => /--backlog is 0; allowed: 1 to 100000000/,
    %w[--workload linear --repeat 0] => /--repeat is 0/, %w[--workload linear --payload -1] => /--payload is -1/,
    %w[--workload linear,latency --subscribe] => /--subscribe is not for latency; allowed: independent, linear, /,
    %w[--workload linear --subscribe --handler rust] => /--subscribe is for handlers in ruby only/,
    %w[--workload linear --work 1 --peer sidekiq] => /--work does not go with --peer/,
    %w[--workload linear --subscribe --peer sidekiq] => /--subscribe does not go with --peer/,
    %w[--workload map,fan --items 3] => /--items is not for fan; allowed: map/,
    %w[--workload size --max-parallel 3] => /--max-parallel is not for size; allowed: map/,
    %w[--workload map --handler rust] => /--handler is not for map; allowed: independent, .*latency, idle, /,
    %w[--workload create --handler rust] => /--handler is not for create; allowed: /,
    %w[--workload idle --tasks 3] => /--tasks is not for idle; allowed: independent, /,
    %w[--workload linear --seconds 3] => /--seconds is not for linear; allowed: idle, soak, flat$/,
    %w[--workload size,flat --backlog 3] => /--backlog is not for size; allowed: flat$/,
    %w[--workload all --backlog 3] => /--backlog is not for independent; allowed: flat$/,
    %w[--workload idle --profile] => /--profile is not for idle; allowed: independent, .*create$/,
    %w[--workload linear --profile --database-url postgres:///x] => /--profile does not go with --database-url/,
    %w[--workload create --processes 2] => /--processes is not for create/,
    %w[--workload create --concurrency 2] => /--concurrency is not for create/,
    %w[--workload idle --payload 2] => /--payload is not for idle/,
    %w[--workload map --items 3 --steps 5] => /--steps does not go with --items/,
    %w[--workload linear --payload 1 --peer sidekiq] => /--payload does not go with --peer/,
    %w[--workload map --items 0] => /--items is 0; allowed: 1 to 1000000/,
    %w[--workload linear --handler perl] => /--handler is perl; allowed: ruby, rust/,
    %w[--workload linear --task 3] => /invalid option: --task; did you mean --tasks/,
    %w[--workload linear --peer sidekick] => /--peer is sidekick; allowed: sidekiq, apalis$/,
    %w[--workload linear,latency --peer sidekiq] => /--peer does not go with latency; allowed: independent, .*layered$/,
    %w[--workload linear --database-url x] => /must begin with postgres:/,
    %w[--workload linear more] => /unexpected argument "more"/ }.each do |words, message|
    it "refuses #{words.empty? ? "nothing" : words.join(" ")}, before it does anything" do
      allow(Bench::Server).to receive(:open)
      outcome = bench(*words, url: nil)
      expect([outcome.status, outcome.out, outcome.err]).to match([2, "", message])
      expect(Bench::Server).not_to have_received(:open)
    end
  end

  it "says what it can do" do
    outcome = bench("--help", url: nil)
    expect([outcome.status, outcome.out]).to match([0, %r{--workload A,B.*bin/bench --workload all --json}m])
  end

  it "has exit status 1 and no figures when what a run left is wrong" do
    allow_any_instance_of(Bench::Check).to receive(:after_creation).and_return(["step 7 is missing"])
    outcome = bench("--workload", "create", "--tasks", "1")
    expect([outcome.status, outcome.err]).to eq([1, "bench: inconsistent: step 7 is missing\n"])
    report = JSON.parse(outcome.out.lines.last)
    expect(report).to include("consistent" => false, "problems" => ["step 7 is missing"])
    expect(report.keys & Bench::Run::MEASURES.keys).to eq([])
  end

  it "fails when handlers of a line did not begin one after the other" do
    allow_any_instance_of(Bench::Fleet).to receive(:stop).and_wrap_original do |stop|
      stop.call.tap { |summary| summary.starts.each { |start| start[1] = -start[1] } }
    end
    outcome = bench(*%w[--workload latency --tasks 1 --steps 3])
    expect([outcome.status, outcome.err.lines])
      .to match([1, [/inconsistent: the handler of step \d+ began after that of step \d+$/] * 2])
  end

  it "has exit status 2 when there is no database" do
    outcome = bench("--workload", "create", url: "postgres://localhost:1/none")
    expect([outcome.status, outcome.err]).to match([2, /\Abench: .*connection/])
  end

  it "leaves no server, worker or file behind when it is interrupted" do
    Dir.mktmpdir do |folder|
      # The server's user, who is another one when root runs the specs, has to pass.
      File.chmod(0o711, folder)
      words = [RbConfig.ruby, "-w", "bench/engine.rb", "--workload", "idle", "--seconds", "600",
               "--not-durable"]
      running(*words, env: { "TMPDIR" => folder }) do |program|
        worker = wait_until("a worker runs", within: 60) { child_of(program.pid, "ruby_worker") }
        program.signal("INT")
        expect(wait_until("it ends", within: 30) { program.status }).to eq(130)
        wait_until("the worker is gone", within: 30) { !alive?(worker) }
        expect(program.text).to eq("")
        wait_until("the server is deleted", within: 30) { Dir.empty?(folder) }
      end
    end
  end

  def child_of(parent, name)
    Bench::ProcessClock.children(parent).find { |pid| File.read("/proc/#{pid}/cmdline").include?(name) }
  rescue SystemCallError
    nil
  end
end
