# frozen_string_literal: true

require "pg"

RSpec.describe "tasker doctor", :database do
  include CommandLine

  # A session of another program, disconnected after the block.
  def session(name)
    connection = PG.connect(database_url)
    connection.exec("SET application_name = '#{name}'")
    yield connection
  ensure
    connection&.close
  end

  def with_old_transaction
    session("nightly report") do |connection|
      connection.exec("BEGIN ISOLATION LEVEL REPEATABLE READ")
      connection.exec("SELECT count(*)\n  FROM tasker_tasks")
      yield connection.backend_pid
    end
  end

  def report(*words)
    tasker("doctor", "--json", *words).json
  end

  it "has no warnings about transactions that have just begun" do
    with_old_transaction { expect(report).to include("ok" => true, "warnings" => []) }
  end

  it "names a session that holds an old transaction, and what to do" do
    with_old_transaction do |pid|
      expect(report("--old-transaction", "0s")["warnings"].map { |warning| warning["facts"] }).to match(
        [include("pid" => pid, "application_name" => "nightly report", "state" => "idle in transaction",
                 "age_s" => be_between(0, 60), "xmin" => /\A\d+\z/, "query" => "SELECT count(*) FROM tasker_tasks")]
      )
      outcome = tasker("doctor", "--old-transaction", "0s")
      expect([outcome.status, outcome.err]).to eq([0, ""])
      *, sum, title, detail, advice = outcome.out.lines(chomp: true)
      expect([sum, title, detail, advice])
        .to match(["everything agrees", "1 warning:", /\A  session #{pid} of user .*"nightly report"/,
                   /\A    what to do: .*SELECT pg_terminate_backend\(#{pid}\)\z/])
    end
  end

  it "says so when a transaction is old and all but its age is hidden", timeout: 60 do
    user = "stranger_#{Process.pid}"
    sql("CREATE ROLE #{user} LOGIN")
    with_old_transaction do |pid|
      # A block with an exception handler that writes is a transaction with an id of its own.
      sql(<<~SQL)
        DO $$ BEGIN CREATE TEMP TABLE numbers (n int); FOR n IN 1..100001 LOOP
          BEGIN INSERT INTO numbers VALUES (n); EXCEPTION WHEN division_by_zero THEN NULL; END;
        END LOOP; END $$
      SQL
      stranger = { "DATABASE_URL" => database_url.sub(%r{//[^@/]*@?}, "//#{user}@") }
      sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO #{user}")
      warnings = tasker("doctor", "--json", env: stranger).json["warnings"]
      expect(warnings.first["facts"]).to include("pid" => pid, "state" => "hidden", "age_s" => nil)
    end
  ensure
    sql("DROP OWNED BY #{user}")
    sql("DROP ROLE #{user}")
  end

  it "warns of a clock that differs from the database's" do
    library = Dir["/usr/lib/*/faketime/libfaketimeMT.so.1"].first
    skip("libfaketime is not installed; bin/setup --chaos installs it") unless library
    env = { "DATABASE_URL" => database_url, "LD_PRELOAD" => library, "FAKETIME" => "+90s",
            "FAKETIME_DONT_FAKE_MONOTONIC" => "1" }

    expect(tasker("doctor", "--json", env: env).json["warnings"])
      .to match([include("name" => "clock", "detail" => /\Athe clock of this host is (8|9)\d\.\d s ahead of/,
                         "advice" => /NTP/)])
  end

  it "knows of handlers where it loads some" do
    sql(<<~SQL)
      WITH namespace AS (INSERT INTO tasker_task_namespaces (name) VALUES ('n') RETURNING task_namespace_id)
      INSERT INTO tasker_named_tasks (task_namespace_id, name, version, configuration)
      SELECT task_namespace_id, 'old', '1.0.0', '{"step_templates": [{"name": "a", "handler_class": "Gone"}]}' FROM namespace
    SQL
    task = "(named_task_id, total_steps, runnable_steps, context) SELECT named_task_id, 1, 1, '{}'"
    sql("INSERT INTO tasker_tasks #{task} FROM tasker_named_tasks")
    file = File.expand_path("../fixtures/workflows.rb", __dir__)

    expect(report["warnings"]).to eq([])
    expect(report("-r", file)["warnings"])
      .to match([include("name" => "handlers", "detail" => %r{Gone \(step a of n/old 1\.0\.0\)\z})])
  ensure
    sql("DELETE FROM tasker_tasks")
  end

  it "says what to do about a database that does not answer, or has no tables" do
    away = tasker("doctor", "--database-url", "postgres://127.0.0.1:1/shop")
    expect([away.status, away.err]).to match([2, /127\.0\.0\.1:1.*; start it, or name another one: --database-url/])
    sql("COMMENT ON TABLE tasker_tasks IS NULL")
    expect(tasker("doctor").err).to match(/run: tasker migrate/)
  ensure
    sql("COMMENT ON TABLE tasker_tasks IS 'tasker_core schema 1'")
  end

  it "refuses an age without a unit" do
    outcome = tasker("doctor", "--old-transaction", "60")
    expect([outcome.status, outcome.err]).to match([2, /--old-transaction is "60"; allowed: .* for instance 30d/])
  end

  it "names tables that hold more dead rows than live ones" do
    session("writer") do |connection|
      connection.exec("ALTER TABLE tasker_task_namespaces SET (autovacuum_enabled = false)")
      connection.exec("INSERT INTO tasker_task_namespaces (name) SELECT 'n' || n FROM generate_series(1, 10001) n")
      connection.exec("DELETE FROM tasker_task_namespaces")
    end
    warning = wait_until("the statistics tell", within: 30) { report["warnings"].first }
    expect(warning).to include("name" => "dead_rows", "advice" => /VACUUM tasker_task_namespaces\z/,
                               "facts" => include("dead_rows" => 10_001, "live_rows" => 0))
  end
end
