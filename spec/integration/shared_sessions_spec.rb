# frozen_string_literal: true

require "pg"
require_relative "../../chaos/pooler"

# PgBouncer in transaction mode, the most common of such poolers.
RSpec.describe "Sessions that a pooler shares", :database do
  include CommandLine
  include Workflows

  # Names of prepared statements tell clients apart only where each has a session of its own.
  let(:few) { { "default_pool_size" => 1 } }
  # As Debian ships it: a startup parameter that it does not know is an error.
  let(:strict) { { "ignore_startup_parameters" => "" } }
  # What connections ask for is dropped.
  let(:lax) { { "ignore_startup_parameters" => "extra_float_digits,options" } }

  before do
    skip("PgBouncer is not installed; bin/setup --chaos installs it") unless Chaos::Pooler.installed?
  end

  after { @pooler&.close }

  # Everybody but {#sql} goes through a pooler from now on.
  def share(settings)
    @pooler = Chaos::Pooler.new(database_url, settings)
    use_database(@pooler.url)
  end

  # A diamond whose left branch fails twice.
  def define_diamond
    handler("Begins") { 1 }
    handler("Fails") { |_task, _sequence, step| step.attempt < 3 ? raise("not yet") : 2 }
    handler("Adds") { |_task, sequence| sequence.results_of("left") + sequence.results_of("right") }
    TaskerCore.define("diamond") do
      step "top", handler: "Begins"
      step "left", handler: "Fails", depends_on: "top", retry: Workflows::RETRY_AT_ONCE
      step "right", handler: "Begins", depends_on: "top"
      step "bottom", handler: "Adds", depends_on: %w[left right]
    end
  end

  def with_clients(number)
    clients = Array.new(number) { TaskerCore::Client.new }
    yield clients
  ensure
    clients.each(&:close)
  end

  %i[few strict lax].each do |name|
    it "let several workers and clients work at the same time (#{name})" do
      share(public_send(name))
      define_diamond
      with_clients(3) do |clients|
        working do
          working do
            submitting = clients.map { |client| Thread.new { Array.new(5) { client.submit("diamond") } } }
            ids = submitting.flat_map(&:value)
            ids.each { |id| TaskerCore.wait(id, timeout: Workflows::PATIENCE_SECONDS) }
            expect(ids.map { |id| TaskerCore.result(id).results_of("bottom") }).to all(eq(3))
          end
        end
      end
    end
  end

  it "keep no statement of the engine but those that name types" do
    share(few)
    define_diamond
    expect(run("diamond")).to be_complete
    session = PG.connect(@pooler.url)
    kept = session.exec("SELECT statement FROM pg_prepared_statements").column_values(0)
    expect(kept).to all(match(/pg_catalog\.pg_type|pg_catalog\.pg_enum|regtype/))
  ensure
    session&.close
  end

  it "are asked for the settings of a URL in each transaction, also for a migration" do
    share(few)
    sql("CREATE SCHEMA engine")
    url = "#{@pooler.url}?options=-c%20search_path%3Dengine"
    outcomes = [%w[migrate --json], %w[templates list --json], %w[doctor --json]].map do |words|
      tasker(*words, env: { "DATABASE_URL" => url })
    end
    expect(outcomes.map(&:status)).to eq([0, 0, 0])
    expect(outcomes.first.json).to include("from" => 0)
    expect(sql("SELECT FROM pg_tables WHERE tablename = 'tasker_tasks' AND schemaname = 'engine'").size).to eq(1)
  end

  it "let workers wait for a lock no longer than in a session of their own" do
    share(lax)
    locker = PG.connect(database_url)
    locker.exec("BEGIN")
    working do
      locker.exec("LOCK tasker_ready_steps IN ACCESS EXCLUSIVE MODE")
      first = wait_until("a claim waits") { waiting_claims.first }
      wait_until("it has been given up", within: 8) { !waiting_claims.include?(first) }
      locker.exec("ROLLBACK")
    end
  ensure
    locker&.close
  end

  it "let a worker that rests find what is submitted within a second" do
    share(lax)
    define_one { nil }
    working(heartbeat_interval: 20.0, dead_after: 60.0) do |worker|
      wait_until("the first heartbeat says what there is to do") { beaten?(worker) }
      began = TaskerCore::Internal::Clock.seconds
      TaskerCore.wait(TaskerCore.submit("one"), timeout: Workflows::PATIENCE_SECONDS)
      expect(TaskerCore::Internal::Clock.seconds - began).to be < 2
    end
  end

  it "let tasks be cancelled, explained, listed and pruned" do
    share(few)
    define_one { nil }
    task_id = TaskerCore.submit("one")
    expect(TaskerCore.cancel(task_id).state).to eq("cancelled")
    words = [["explain", task_id.to_s], ["list"], ["workers"], ["prune", "--older-than", "0s"]]
    outcomes = words.map { |line| tasker(*line, env: { "DATABASE_URL" => @pooler.url }) }
    expect(outcomes.map { |outcome| [outcome.status, outcome.err] }).to all(eq([0, ""]))
    expect(count("tasker_tasks")).to eq(0)
  end

  it "tell operators that they are shared" do
    share(strict)
    outcome = tasker("doctor", env: { "DATABASE_URL" => @pooler.url })
    expect([outcome.status, outcome.err]).to eq([0, ""])
    expect(outcome.out).to include("workers look for steps every 500 ms because they cannot listen")
  end

  it "let others take back the claims of a worker that was killed", timeout: 60 do
    share(few)
    workflow = File.join(CommandLine::ROOT, "spec/fixtures/crash_workflow.rb")
    Dir.mktmpdir do |folder|
      load workflow
      task_id = TaskerCore.submit("crash", context: { ledger: File.join(folder, "ledger") })
      kill(workflow)
      working(concurrency: 4) { TaskerCore.wait(task_id, timeout: 40) }
      expect(TaskerCore.result(task_id)).to be_complete
      expect(sql("SELECT FROM tasker_attempts WHERE outcome = 'worker_died'")).not_to be_empty
    end
  end

  def kill(workflow)
    tasker_running("work", "-r", workflow, "-c", "4", env: { "DATABASE_URL" => @pooler.url }) do |worker|
      wait_until("some steps are complete", within: 30) do
        sql("SELECT FROM tasker_workflow_steps WHERE state = 'complete'").size > 20
      end
      worker.signal("KILL")
    end
  end

  # Claims that wait for a lock.
  def waiting_claims
    sql("SELECT query_start FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' " \
        "AND query LIKE '-- Caller: claims.%'")
  end

  def beaten?(worker)
    sql("SELECT FROM tasker_workers WHERE worker_id = $1 AND heartbeat_at > started_at", worker.id).any?
  end
end
