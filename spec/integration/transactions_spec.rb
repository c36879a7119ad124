# frozen_string_literal: true

require "tempfile"

RSpec.describe "Submitting a task in a transaction of the application's", :database do
  include Workflows
  include CommandLine
  include Outages

  let!(:connection) do
    PG.connect(database_url).tap { |pg| pg.exec("SET client_min_messages = warning; CREATE TABLE orders (id int)") }
  end
  let(:open_options) do
    { initiator: "checkout", source_system: "shop \"1\"", reason: "back\\slash, {brace}, NULL, ü", tags: %w[a b"c d\\e],
      deadline: 3_600, budget: { attempts: 20, cost: 1.5 }, correlation_key: "customer-7", idempotency_key: "order-1" }
  end

  before do
    handler("Any") { nil }
    TaskerCore.define("order") { step "only", handler: "Any" }
    TaskerCore.define("wide") do
      step "first", handler: "Any", queue: "q\\1", total_timeout: 60
      step "second", handler: "Any", depends_on: "first"
      step "late", handler: "Any", delay: 1.5
    end
  end

  after do
    connection.close unless connection.finished?
    TaskerCore.configure { |c| c.encryption_keys = {} }
  end

  def submit(on: connection, **options)
    TaskerCore.submit("order", connection: on, **options)
  end

  def place_order(on: connection)
    on.exec("INSERT INTO orders VALUES (7)")
  end

  def orders_and_tasks
    [count("orders"), count("tasker_tasks")]
  end

  def refusal
    submit
    nil
  rescue TaskerCore::InvalidArgument => e
    e.message
  end

  # What a submit has written, without times and ids of tasks; of ids of steps their positions.
  def written
    tables = sql("SELECT tablename AS name FROM pg_tables WHERE tablename LIKE 'tasker\\_%' ORDER BY 1")
    tables.to_h do |table|
      rows = sql("SELECT to_jsonb(t)::text AS row FROM #{table.fetch("name")} t ORDER BY ctid")
      [table.fetch("name"), rows.map { |row| lasting(JSON.parse(row.fetch("row"))) }]
    end
  end

  def lasting(row)
    ids = row.select { |column, _| column.end_with?("_step_id") }
    positions = ids.transform_values { |id| id && (id % (1 << 20)) }
    row.reject { |column, _| column == "task_id" || column.end_with?("_at") }.merge(positions)
  end

  it "commits both" do
    task_id = connection.transaction do
      place_order
      submit.tap { expect(orders_and_tasks).to eq([0, 0]) }
    end

    expect(orders_and_tasks).to eq([1, 1])
    working { expect(TaskerCore.wait(task_id, timeout: 30).state).to eq("complete") }
  end

  it "commits neither" do
    connection.transaction do
      place_order
      submit
      raise "changed its mind"
    end
  rescue RuntimeError
    expect(orders_and_tasks).to eq([0, 0])
  end

  it "is undone with the savepoint that it was made in" do
    connection.transaction do
      place_order
      connection.exec("SAVEPOINT mine")
      submit
      connection.exec("ROLLBACK TO SAVEPOINT mine")
    end

    expect(orders_and_tasks).to eq([1, 0])
  end

  it "has a transaction of its own where none is open" do
    submit

    expect([connection.transaction_status, count("tasker_tasks")]).to eq([PG::PQTRANS_IDLE, 1])
  end

  it "submits many" do
    ids = connection.transaction do
      TaskerCore.submit_all("wide", contexts: Array.new(3) { |i| { i: i } }, connection: connection)
    end

    expect(ids.map { |id| TaskerCore.status(id).state }).to eq(["pending"] * 3)
    expect(count("tasker_workflow_steps")).to eq(9)
  end

  it "writes what any other submit writes" do
    submit_both = lambda do |on|
      submit(on: on, context: { "a" => ["\"\\", nil, 1.5] }, **open_options)
      TaskerCore.submit_all("wide", contexts: [{ i: 1 }, { i: "{}" }], tags: ["x"], connection: on)
      written.tap { sql("DELETE FROM tasker_tasks") }
    end
    sql("DELETE FROM tasker_tasks")
    own = submit_both.call(nil)

    expect(submit_both.call(connection)).to eq(own)
    expect(own.count { |_, rows| rows.any? }).to eq(12)
  end

  it "encrypts as any other submit does" do
    TaskerCore.configure { |c| c.encryption_keys = { "k1" => ["k" * 32].pack("m0") } }
    submit(context: { card: "4242" }, idempotency_key: "k")
    again = submit(context: { card: "4242" }, idempotency_key: "k")

    expect(sql("SELECT context::text FROM tasker_tasks").to_s).not_to include("4242")
    expect([count("tasker_tasks"), TaskerCore.status(again).state]).to eq([1, "pending"])
  end

  it "leaves the application's transaction as it was when it is refused" do
    connection.transaction do
      place_order
      expect { TaskerCore.submit("ordr", connection: connection) }.to raise_error(TaskerCore::UnknownTemplate)
      expect { submit(context: { n: Float::NAN }) }.to raise_error(TaskerCore::InvalidContext)
      submit(idempotency_key: "k")
      expect { submit(idempotency_key: "k", on_duplicate: :raise) }.to raise_error(TaskerCore::DuplicateTask)
    end

    expect(orders_and_tasks).to eq([1, 1])
  end

  it "returns the task that was submitted in the same transaction" do
    connection.transaction do
      first = submit(idempotency_key: "order-7")
      expect { |block| TaskerCore.submit("order", connection: connection, idempotency_key: "order-7", &block) }
        .to yield_with_args(first)
    end

    expect(count("tasker_tasks")).to eq(1)
  end

  describe "while another transaction submits the same" do
    let!(:other) { PG.connect(database_url) }
    let(:waiting) { "SELECT count(*) AS n FROM pg_locks WHERE NOT granted" }

    after { other.close }

    def submit_meanwhile
      connection.exec("BEGIN")
      first = submit(idempotency_key: "order-7")
      thread = Thread.new do
        other.transaction do
          place_order(on: other)
          submit(on: other, idempotency_key: "order-7")
        end
      end
      wait_until("the other one waits") { sql(waiting).first.fetch("n") != "0" }
      yield
      [first, thread.value]
    end

    it "returns that task when it is committed" do
      first, second = submit_meanwhile { connection.exec("COMMIT") }

      expect(second).to eq(first)
      expect(orders_and_tasks).to eq([1, 1])
    end

    it "makes the task when it is rolled back" do
      first, second = submit_meanwhile { connection.exec("ROLLBACK") }

      expect(second).not_to eq(first)
      expect(orders_and_tasks).to eq([1, 1])
    end

    it "waits as long as the application's transaction says, and leaves what that says" do
      connection.exec("BEGIN")
      submit(idempotency_key: "order-7")
      other.transaction do
        other.exec("SET LOCAL lock_timeout = '50ms'")
        place_order(on: other)
        expect { submit(on: other, idempotency_key: "order-7") }
          .to raise_error(TaskerCore::DatabaseError) { |e| expect(e.details["sqlstate"]).to eq("55P03") }
        submit(on: other, idempotency_key: "order-8")
        expect(other.exec("SHOW lock_timeout").getvalue(0, 0)).to eq("50ms")
      end
      connection.exec("ROLLBACK")

      expect(orders_and_tasks).to eq([1, 1])
    end
  end

  describe "that is open" do
    let(:workflow) do
      <<~RUBY
        class Any < TaskerCore::StepHandler::Base
          def process(*) = nil
        end
        TaskerCore.define("order") { step "only", handler: "Any" }
      RUBY
    end

    before do
      connection.exec("BEGIN")
      submit
    end

    def change_template
      TaskerCore.registry.clear
      TaskerCore.define("order", queue: "slow") { step "only", handler: "Any" }
    end

    it "keeps no other process from starting, nor from submitting" do
      Tempfile.create(%w[workflow .rb]) do |file|
        File.write(file.path, workflow)
        tasker_running("work", "-r", file.path) do |worker|
          wait_until("the worker is ready") { worker.status || worker.text.include?("is ready") }
          expect(worker.status).to be_nil, worker.text
          submitting = run_program(RbConfig.ruby, "-Ilib", "-rtasker_core", "-r", file.path,
                                   "-e", "puts TaskerCore.submit('order')", env: { "DATABASE_URL" => database_url })
          expect(submitting.err).to eq("")
          expect(TaskerCore.wait(Integer(submitting.out), timeout: 30).state).to eq("complete")
        end
      end
      connection.exec("ROLLBACK")
    end

    it "is waited for by who registers a changed template, and by nobody else in that process" do
      change_template
      thread = Thread.new { TaskerCore.submit("order") }
      wait_until("it waits") { sql("SELECT FROM pg_locks WHERE NOT granted").any? }
      expect(TaskerCore.list).to eq([])
      expect(thread).to be_alive
      connection.exec("ROLLBACK")

      expect(TaskerCore.status(thread.value).state).to eq("pending")
    end

    it "is named where that is in vain" do
      change_template

      expect { TaskerCore.submit("order", connection: false) }.to raise_error(TaskerCore::DatabaseError) { |e|
        expect(e.message).to match(%r{default/order version 0.1.0 .* while a transaction is open that has submitted a})
        expect(e).to be_retryable
      }
      connection.exec("ROLLBACK")
    end
  end

  it "refuses a connection that cannot be used, by what is wrong with it" do
    connection.exec("BEGIN")
    expect { connection.exec("SELECT 1/0") }.to raise_error(PG::DivisionByZero)
    failed = refusal
    connection.exec("ROLLBACK")
    connection.send_query("SELECT pg_sleep(0.01)")
    busy = refusal
    connection.get_last_result

    expect(failed).to include("connection is \"in a transaction that has failed\"", "rolled back first")
    expect(busy).to include("busy or lost")
    expect { submit(on: 7) }.to raise_error(TaskerCore::InvalidArgument, /is Integer, allowed: a PG::Connection/)
    expect(count("tasker_tasks")).to eq(0)
  end

  it "refuses a closed connection" do
    connection.close

    expect { submit }.to raise_error(TaskerCore::DatabaseUnavailable, /closed/)
  end

  it "says that a connection to a database without the schema is one" do
    with_database(migrated: false) do |url|
      elsewhere = PG.connect(url)
      expect { submit(on: elsewhere) }
        .to raise_error(TaskerCore::InvalidArgument, /is one to a database without tables of tasker_core; allowed: one/)
      expect(elsewhere.transaction_status).to eq(PG::PQTRANS_IDLE)
    ensure
      elsewhere.close
    end
  end

  it "refuses a connection to another database with a template of that name" do
    with_database do |url|
      elsewhere = PG.connect(url)
      elsewhere.exec("INSERT INTO tasker_task_namespaces (name) VALUES ('default')")
      elsewhere.exec(<<~SQL)
        INSERT INTO tasker_named_tasks (named_task_id, task_namespace_id, name, version, configuration)
        OVERRIDING SYSTEM VALUE SELECT 99, task_namespace_id, 'order', '0.1.0', '{}' FROM tasker_task_namespaces
      SQL
      expect { submit(on: elsewhere) }
        .to raise_error(TaskerCore::InvalidArgument, /is one to a database where another template has this name/)
    ensure
      elsewhere.close
    end
  end

  it "passes on what interrupts it, with nothing left open" do
    connection.exec("BEGIN")
    submit(idempotency_key: "order-7")
    other = PG.connect(database_url)
    thread = Thread.new { submit(on: other, idempotency_key: "order-7") }
    thread.report_on_exception = false
    wait_until("it waits") { other.transaction_status == PG::PQTRANS_ACTIVE && thread.status == "sleep" }
    thread.raise(IOError, "enough")

    expect { thread.value }.to raise_error(IOError, "enough")
    connection.exec("ROLLBACK")
    expect([other.transaction_status, count("tasker_tasks")]).to eq([PG::PQTRANS_IDLE, 0])
  ensure
    other&.close
  end

  it "closes a connection that is silent when a submit is interrupted" do
    through_proxy do |proxy|
      silent = PG.connect(TaskerCore.configuration.database_url)
      use_database(database_url)
      silent.exec("BEGIN")
      silent.define_singleton_method(:exec) { |sql| super(sql).tap { proxy.silence } }
      thread = Thread.new { submit(on: silent) }
      thread.report_on_exception = false
      wait_until("it waits") { proxy.counts[:silent].positive? && silent.transaction_status == PG::PQTRANS_ACTIVE }
      thread.raise(IOError, "enough")

      expect { thread.value }.to raise_error(IOError, "enough")
      expect(silent).to be_finished
    end
  end

  it "leaves no transaction open where it is interrupted as it begins one" do
    connection.define_singleton_method(:exec) { |sql| super(sql).tap { raise IOError, "enough" if sql == "BEGIN" } }

    expect { submit }.to raise_error(IOError, "enough")
    expect(connection.transaction_status).to eq(PG::PQTRANS_IDLE)
  end

  it "leaves nothing half of what a killed process did, wherever it is killed" do
    ended = %i[before_both between after_both after_commit].map do |place|
      pid = fork { place_and_submit_until(place) }
      Process.wait(pid)
      [place, orders_and_tasks]
    end

    expect(ended.to_h).to eq(before_both: [0, 0], between: [0, 0], after_both: [0, 0], after_commit: [1, 1])
  end

  it "takes part in what Active Record's transactions come to" do
    skip "activerecord is not installed" if Gem::Specification.find_all_by_name("activerecord").empty?
    sql("DROP TABLE orders")
    program = File.join(CommandLine::ROOT, "spec/fixtures/active_record_orders.rb")
    outcome = run_program(RbConfig.ruby, "-I", File.join(CommandLine::ROOT, "lib"), program,
                          env: { "DATABASE_URL" => database_url })

    expect([outcome.err, outcome.status]).to eq(["", 0])
    expect(outcome.json).to eq(
      "both" => [1, 1], "neither" => [0, 0], "task_undone" => [1, 0], "both_undone" => [0, 0],
      "twice_with_a_key" => [2, 1], "refused" => [1, 1], "many" => [0, 3], "no_transaction" => [1, 1], "ruby" => 7,
      "by_itself" => [0, 0], "kept" => [0, 1], "neither_needed" => [0, 1]
    )
  end

  def place_and_submit_until(place)
    own = PG.connect(database_url)
    reach = ->(point) { Process.kill("KILL", Process.pid) if place == point }
    own.transaction do
      reach.call(:before_both)
      place_order(on: own)
      reach.call(:between)
      submit(on: own)
      reach.call(:after_both)
    end
    reach.call(:after_commit)
  end
end
