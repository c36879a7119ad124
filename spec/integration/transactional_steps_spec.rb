# frozen_string_literal: true

RSpec.describe "A transactional handler", :database do
  include CommandLine
  include Workflows

  let(:connections) { Queue.new }

  before do
    sql("CREATE TABLE effects (step_id bigint, attempt int, deferred int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    bring { connect }
  end

  after do
    connections.pop.close until connections.empty?
    TaskerCore.configure do |c|
      c.transaction_connection = nil
      c.encryption_keys = {}
    end
  end

  # Brings each of the worker's threads what the block returns.
  def bring
    TaskerCore.configure do |c|
      c.transaction_connection = -> { Thread.current[:effects] ||= yield unless Thread.current == Thread.main }
    end
  end

  def connect(url = database_url)
    PG.connect(url).tap { |pg| connections << pg }
  end

  # A template of one step, whose handler has an effect before it does what the block does.
  def define_effective(name = "effective", **options, &process)
    transactional("Effective", &process)
    TaskerCore.define(name) { step "only", handler: "Effective", retry: Workflows::RETRY_AT_ONCE, **options }
  end

  def transactional(name)
    handler(name) do |task, sequence, step|
      have_effect(step)
      yield task, sequence, step
    end.transactional = true
  end

  def have_effect(step, deferred = nil)
    values = [step.step_id, step.attempt, deferred]
    Thread.current[:effects].exec_params("INSERT INTO effects VALUES ($1, $2, $3)", values)
  end

  def effects
    sql("SELECT attempt FROM effects ORDER BY 1").map { |row| row.fetch("attempt").to_i }
  end

  def error_of(result, step = "only")
    result.step(step).error
  end

  # Holds each report of a committed end until the block has ended, which is called when one is held.
  def holding_reports
    held = Queue.new
    go_on = Queue.new
    before_reports do
      held << true
      go_on.pop
    end
    working do
      held.pop
      yield
    ensure
      go_on.close
    end
  end

  def before_reports
    allow(TaskerCore::Internal::StepRunner).to receive(:new).and_wrap_original do |original, *words, **options|
      original.call(*words, **options).tap do |runner|
        allow(runner).to receive(:report_recorded).and_wrap_original do |report, *said|
          yield
          report.call(*said)
        end
      end
    end
  end

  it "is as its superclass is" do
    base = Class.new(TaskerCore::StepHandler::Base) { self.transactional = true }
    ordinary = Class.new(base) { self.transactional = false }

    expect([TaskerCore::StepHandler::Base, base, Class.new(base), ordinary, Class.new(ordinary)].map(&:transactional?))
      .to eq([false, true, true, false, false])
  end

  it "has its effect and its results committed together, and leaves no record" do
    define_effective { { "total" => 7 } }

    result = run("effective")

    expect([result.state, result.results_of("only"), effects, count("tasker_recorded_ends")])
      .to eq(["complete", { "total" => 7 }, [1], 0])
    expect(result.step("only").execution_ms).to be_positive
  end

  it "undoes what an attempt did that fails, waits or is refused" do
    define_effective(retry_limit: 4) do |_, _, step|
      raise "once more" if step.attempt == 1

      step.sleep_for(0.01) if step.attempt == 2
      step.attempt == 3 ? "x" * 2_000_000 : "done"
    end

    result = run("effective")

    expect([result.state, error_of(result)["code"], effects]).to eq(["error", "INVALID_RESULTS", []])
  end

  it "has an effect in the attempt that completes alone" do
    define_effective(retry_limit: 4) do |_, _, step|
      raise "once more" if step.attempt == 1

      step.sleep_for(0.01) if step.attempt == 2
      "done"
    end

    expect([run("effective").state, effects]).to eq(["complete", [3]])
  end

  it "has its process_results executed in the transaction as well" do
    define_effective { 7 }
    Effective.define_method(:process_results) { |*| raise TaskerCore::PermanentError, "not so" }

    expect([error_of(run("effective"))["message"], effects]).to eq(["not so", []])
  end

  it "takes branches, attaches artifacts and spends" do
    transactional("Decide") do |_, _, step|
      step.attach("by", json: "hand")
      step.spend(2)
      step.take("left")
    end
    handler("Any") { nil }
    TaskerCore.define("decision") do
      step "first", handler: "Decide", decides: true
      step "left", handler: "Any", depends_on: "first"
      step "right", handler: "Any", depends_on: "first"
    end
    result = run("decision", budget: { cost: 5 })

    expect(result.steps.to_h { |step| [step.name, step.state] })
      .to eq("first" => "complete", "left" => "complete", "right" => "skipped")
    expect(TaskerCore.artifacts(result.task_id).map(&:json)).to eq(["hand"])
    expect(TaskerCore.status(result.task_id).budget["spent"]).to eq(2.0)
  end

  it "that takes what is no branch has no effect" do
    transactional("Decide") { [] }
    handler("Any") { nil }
    TaskerCore.define("decision") do
      step "first", handler: "Decide", decides: true
      step "left", handler: "Any", depends_on: "first"
    end

    expect([error_of(run("decision"), "first")["code"], count("effects")]).to eq(["INVALID_DECISION", 0])
  end

  it "fails by what the commit is refused for" do
    sql("INSERT INTO effects VALUES (0, 0, 7)")
    define_effective(retry_limit: 1) { |_, _, step| have_effect(step, 7) && nil }

    failure = error_of(run("effective"))

    expect([failure["class"], failure["message"], effects])
      .to match(["PG::UniqueViolation", /duplicate key value/, [0]])
  end

  it "has no effect where its task is cancelled while it runs" do
    begun = Queue.new
    go_on = Queue.new
    define_effective { begun.push(true) && go_on.pop }
    task_id = TaskerCore.submit("effective")
    working do
      begun.pop
      TaskerCore.cancel(task_id)
      go_on.close
      wait_until("its connection is in no transaction") { Thread.list.none? { |t| open?(t[:effects]) } }
    end

    expect([TaskerCore.status(task_id).state, effects, count("tasker_recorded_ends")]).to eq(["cancelled", [], 0])
  end

  def open?(connection)
    connection && connection.transaction_status != PG::PQTRANS_IDLE
  end

  it "has no effect where its thread is ended" do
    define_effective(retry_limit: 2) { |_, _, step| step.attempt == 1 ? Thread.current.kill : "done" }

    expect([run("effective").state, effects]).to eq(["complete", [2]])
  end

  describe "whose end is committed, and not known to the engine yet" do
    it "has completed when the task is cancelled" do
      transactional("Effective") { "done" }
      handler("Any") { nil }
      TaskerCore.define("two") do
        step "first", handler: "Effective"
        step "second", handler: "Any", depends_on: "first", delay: 3_600
      end
      task_id = TaskerCore.submit("two")
      holding_reports { TaskerCore.cancel(task_id) }
      steps = TaskerCore.result(task_id).steps.to_h { |step| [step.name, [step.state, step.results]] }

      expect(steps).to eq("first" => %w[complete done], "second" => ["cancelled", nil])
      expect(effects).to eq([1])
    end

    it "cannot be cancelled, skipped or resolved any more where it is all there is of the task" do
      define_effective(skippable: true) { "done" }
      task_id = TaskerCore.submit("effective")
      holding_reports do
        expect { TaskerCore.resolve(task_id, "only") }.to raise_error(TaskerCore::InvalidTransition)
        expect { TaskerCore.skip(task_id, "only") }.to raise_error(TaskerCore::InvalidTransition)
        expect { TaskerCore.cancel(task_id) }.to raise_error(TaskerCore::InvalidTransition)
      end

      expect([TaskerCore.status(task_id).state, effects]).to eq(["complete", [1]])
    end

    it "has completed when its time is over" do
      define_effective(timeout: 0.3) { "done" }
      task_id = TaskerCore.submit("effective")
      holding_reports { TaskerCore.wait(task_id, timeout: 30) }

      expect([TaskerCore.status(task_id).state, effects]).to eq(["complete", [1]])
    end

    it "has completed when the time of all its attempts is over" do
      define_effective(total_timeout: 0.3) { "done" }
      task_id = TaskerCore.submit("effective")
      holding_reports { TaskerCore.wait(task_id, timeout: 30) }

      expect([TaskerCore.status(task_id).state, effects]).to eq(["complete", [1]])
    end

    it "has completed when the deadline of the task passes" do
      define_effective { "done" }
      task_id = TaskerCore.submit("effective", deadline: 1)
      holding_reports { TaskerCore.wait(task_id, timeout: 30) }

      expect([TaskerCore.status(task_id).state, effects]).to eq(["complete", [1]])
    end

    it "is told in a dry run as it is, and stays" do
      define_effective { "done" }
      task_id = TaskerCore.submit("effective")
      holding_reports do
        report = TaskerCore.rerun_all("only", name: "effective", dry_run: true)
        expect([report.matched, report.refused, count("tasker_recorded_ends")]).to eq([1, [], 1])
      end

      expect(TaskerCore.wait(task_id, timeout: 30).state).to eq("complete")
    end

    it "is encrypted where results are" do
      TaskerCore.configure { |c| c.encryption_keys = { "k" => "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" } }
      define_effective { "a secret" }
      task_id = TaskerCore.submit("effective")
      record = holding_reports { sql("SELECT outcome FROM tasker_recorded_ends").first.fetch("outcome") }

      expect(record).to start_with("{\"tasker_encrypted\"")
      TaskerCore.wait(task_id, timeout: 30)
      expect(TaskerCore.result(task_id).results_of("only")).to eq("a secret")
    end
  end

  describe "that the test kit executes once" do
    let(:pg) { connect.tap { |pg| pg.exec("SET client_min_messages = error") } }

    before do
      require "tasker_core/testing/attempt"
      Thread.current[:effects] = pg
      TaskerCore.configure { |c| c.transaction_connection = -> { pg } }
    end

    after { Thread.current[:effects] = nil }

    # How an attempt ended, and which effects are seen over its connection.
    def attempted(attempt: 1, **options, &process)
      transactional("Effective", &process)
      around = { context: {}, results: {}, attempt: attempt, of: nil }
      made = TaskerCore::Testing::Attempt.of(Effective, **around, **options)
      [made.state, made.results || made.error&.fetch("class"), pg.exec("SELECT attempt FROM effects").values.flatten]
    end

    it "has its effect kept where it completes, and only there" do
      expect(attempted { raise PG::Error, "no" }).to eq(["waiting_for_retry", "PG::Error", []])
      expect(attempted { pg.exec("SELECT 1/0") }).to eq(["waiting_for_retry", "PG::DivisionByZero", []])
      expect(attempted { |_, _, step| step.sleep_for(5) }).to eq(["waiting", nil, []])
      expect(attempted(cancelled: true) { "late" }).to eq(["error", "TaskerCore::Step", []])
      expect(attempted { |_, _, step| 2.times { have_effect(step, 7) } })
        .to eq(["waiting_for_retry", "PG::UniqueViolation", []])
      expect(attempted(attempt: 2) { "done" }).to eq(["complete", "done", ["2"]])
      expect(effects).to eq([2])
    end

    it "has its effect within the transaction of the test" do
      pg.exec("BEGIN")
      have_effect(Struct.new(:step_id, :attempt).new(1, 7))
      expect(attempted { pg.exec("SELECT 1/0") }).to eq(["waiting_for_retry", "PG::DivisionByZero", ["7"]])
      expect(attempted(branches: %w[air road]) { |_, _, step| step.take("air") }).to eq(["complete", %w[air], %w[7 1]])
      pg.exec("ROLLBACK")
      expect(effects).to eq([])
    end

    it "is blocked where there is no connection" do
      TaskerCore.configure { |c| c.transaction_connection = nil }
      expect(attempted { nil }).to eq(["blocked", "TaskerCore::BlockedError", []])
    end
  end

  describe "without a connection that it can use" do
    def refusal(&connection)
      bring(&connection)
      define_effective { "done" }
      task_id = TaskerCore.submit("effective")
      working { wait_until("it is blocked") { TaskerCore.status(task_id).state == "blocked" } }
      error_of(TaskerCore.result(task_id)).values_at("code", "message")
    end

    it "is blocked: none" do
      expect(refusal { nil }).to match(["TRANSACTION_CONNECTION", /there is no connection: set transaction_connection/])
    end

    it "is blocked: something else" do
      expect(refusal { 7 }).to match(["TRANSACTION_CONNECTION", /connection is Integer, allowed: a PG::Connection/])
    end

    it "is blocked: one in a transaction" do
      expect(refusal { connect.tap { |pg| pg.exec("BEGIN") } })
        .to match(["TRANSACTION_CONNECTION", /connection is "in a transaction, or busy"/])
    end

    it "is tried again: one that is lost" do
      bring { connect.tap { |pg| sql("SELECT pg_terminate_backend($1)", pg.backend_pid) && lose(pg) } }
      transactional("Effective") { "done" }
      TaskerCore.define("lost") { step "only", handler: "Effective", retry_limit: 2, retry: Workflows::RETRY_AT_ONCE }

      expect(error_of(run("lost"))["class"]).to eq("TaskerCore::DatabaseUnavailable")
    end

    # Notices that it is lost.
    def lose(connection)
      connection.exec("SELECT 1")
    rescue PG::Error
      nil
    end

    { true => "with other", false => "without" }.each do |migrated, what|
      it "is blocked: one to another database #{what} tables" do
        with_database(migrated: migrated) do |url|
          expect(refusal { connect(url) })
            .to match(["TRANSACTION_CONNECTION", /connection is one to a database #{what} tables of tasker_core/])
        ensure
          connections.pop.close until connections.empty?
        end
      end
    end
  end

  it "makes no checkpoints and adds no steps" do
    transactional("Checkpoint") { |_, _, step| step.checkpoint(cursor: 1) }
    transactional("Add") { |_, _, step| step.add("more", like: "dynamic") }
    TaskerCore.define("refused") do
      step "checkpoint", handler: "Checkpoint"
      step "add", handler: "Add"
      step "dynamic", handler: "Add", dynamic: true
    end
    result = run("refused")

    expect(%w[checkpoint add].map { |step| error_of(result, step)["code"] }).to eq(%w[TRANSACTIONAL TRANSACTIONAL])
    expect(effects).to eq([])
  end

  it "has effects of Active Record's committed with its end, and callbacks called after that" do
    skip "activerecord is not installed" if Gem::Specification.find_all_by_name("activerecord").empty?
    program = File.join(CommandLine::ROOT, "spec/fixtures/active_record_steps.rb")
    outcome = run_program(RbConfig.ruby, "-I", File.join(CommandLine::ROOT, "lib"), program,
                          env: { "DATABASE_URL" => database_url })

    expect([outcome.err, outcome.status]).to eq(["", 0])
    expect(outcome.json).to eq(
      "plain" => ["complete", 1, 1], "nested" => ["complete", 1, 1], "savepoint_undone" => ["complete", 1, 1],
      "raises" => ["error", 0, 0], "rolls_back" => ["error", 0, 0], "waits" => ["complete", 1, 1],
      "submits" => ["complete", 1, 1], "callback_raises" => ["complete", 1, 1], "commit_refused" => ["error", 0, 0]
    )
  end

  it "has its effect exactly once, wherever and however often its workers are killed" do
    tasks = Integer(ENV.fetch("TRANSACTIONAL_TASKS", "204"))
    program = File.join(CommandLine::ROOT, "spec/fixtures/transactional_kills.rb")
    outcome = run_program(RbConfig.ruby, "-I", File.join(CommandLine::ROOT, "lib"), program,
                          env: { "DATABASE_URL" => database_url, "TASKS" => tasks.to_s })
    expect([outcome.err, outcome.status]).to eq(["", 0])
    kills = outcome.json

    expect(kills.size).to eq(12)
    expect(kills.values.sum).to be >= tasks
    expect(sql("SELECT DISTINCT state FROM tasker_tasks").map(&:values)).to eq([["complete"]])
    expect(sql("SELECT step_id, attempt FROM effects ORDER BY 1, 2").map(&:values)).to eq(sql(<<~SQL).map(&:values))
      SELECT workflow_step_id, attempt FROM tasker_workflow_step_transitions WHERE event = 'succeeded' ORDER BY 1, 2
    SQL
    expect([count("effects"), count("tasker_recorded_ends")]).to eq([tasks, 0])
  end
end
