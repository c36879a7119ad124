# frozen_string_literal: true

require "etc"
require "shellwords"
require "tmpdir"

RSpec.describe "tasker", :database do
  include CommandLine

  fixtures = File.expand_path("../fixtures/workflows.rb", __dir__)
  unreachable = "postgres://nobody@localhost:1/none"

  around do |example|
    Dir.mktmpdir { |folder| (@folder = folder) && example.run }
  end

  # A worker that executes the workflows of the fixtures, for the time of the block.
  define_method(:with_worker) do |*options, &block|
    tasker_running("work", "-r", fixtures, *options) do |worker|
      wait_until("the worker is ready") { worker.text.include?("is ready") || worker.status }
      block.call(worker).tap do
        worker.signal("TERM")
        wait_until("the worker stops") { worker.status }
      end
    end
  end

  define_method(:submit) do |name, context = {}|
    outcome = tasker("submit", name, "--context", JSON.generate(context), "-r", fixtures, "--json")
    outcome.status.zero? ? outcome.json.fetch("task_id").to_s : raise(outcome.err)
  end

  def rows(table)
    sql("SELECT count(*) FROM #{table}").first.fetch("count").to_i
  end

  def file(name, text)
    File.join(@folder, name).tap { |path| File.write(path, text) }
  end

  it "carries a task from its submission to its results" do
    with_worker do
      done = tasker("submit", "echo", "--context", "{\"number\":7}", "--wait", "--timeout", "30")
      expect([done.status, done.err]).to eq([0, ""])
      expect(done.out).to include("state:", "complete", "echo 0.1.0", "2 of 2 steps")
      expect(tasker("result", "1").out).to match(/first +✓ complete +1 .*{"got":{"number":7}}/)
    end
  end

  it "speaks JSON wherever it is asked to" do
    task_id = with_worker { tasker("submit", "echo", "--wait", "--json").json.fetch("task_id").to_s }
    expect(tasker("status", task_id, "--json").json).to include("state" => "complete", "steps_total" => 2)
    expect(tasker("result", task_id, "--json").json["steps"].map { |step| step["name"] }).to eq(%w[first second])
    expect(tasker("result", task_id, "second").json).to eq("got" => {})
    expect(tasker("explain", task_id, "first", "--json").json["steps"].size).to eq(1)
    expect(tasker("list", "--json").json.map { |task| task["task_id"].to_s }).to eq([task_id])
    expect(tasker("templates", "list", "--json").json.map { |one| one["name"] }).to match_array(%w[echo refuse hold])
    expect(tasker("workers", "--json").json.map { |worker| worker["state"] }).to eq(["stopped"]).or eq([])
    expect(tasker("doctor", "--json").json).to include("ok" => true)
  end

  it "speaks to people in aligned columns without control characters" do
    submit("hold", file: "never")
    outputs = [%w[status 1], %w[result 1], %w[explain 1], %w[list], %w[workers], %w[templates list], %w[doctor]]
              .map { |words| tasker(*words) }
    expect(outputs.map { |outcome| [outcome.status, outcome.err] }).to all(eq([0, ""]))
    expect(outputs.map(&:out)).to all(match(/\A[^\e]+\n\z/m))
  end

  it "says with its exit status that a task ended in error, and writes no control characters of others" do
    with_worker do
      outcome = tasker("submit", "refuse", "--wait")
      expect([outcome.status, outcome.out]).to match([1, include("error")])
    end
    results = %w[status result].map { |command| tasker(command, "1") }
    expect(results.map(&:status)).to eq([1, 1])
    text = [*results, tasker("explain", "1", "only")].map(&:out).join
    expect(text).to include("no such account").and match(/\A[^\e]*\z/)
  end

  it "gives up waiting when the time is over, and the task goes on" do
    submit("echo")
    outcome = tasker("submit", "echo", "--wait", "--timeout", "0.2")
    expect([outcome.status, outcome.err]).to match([1, /\Atasker: task \d+ is pending after 200 ms; it goes on\n\z/])
  end

  it "reads the context from a file and from standard input" do
    submit("echo")
    path = file("context.json", "{\"number\":1}")
    expect(tasker("submit", "echo", "--context", "@#{path}").out).to eq("task 2 submitted\n")
    expect(tasker("submit", "echo", "--context", "-", input: "{\"number\":2}").out).to eq("task 3 submitted\n")
  end

  it "works where the locale knows ASCII only" do
    ascii = { "DATABASE_URL" => database_url, "LC_ALL" => "C" }
    task_id = submit("echo")
    expect(tasker("cancel", task_id, "--reason", "zurückgezogen", env: ascii).status).to eq(0)
    outcome = tasker("explain", task_id, env: ascii)
    expect([outcome.status, outcome.err, outcome.out]).to match([0, "", /\Atask 1  - cancelled\n.*zurückgezogen/m])
  end

  it "cancels a task and keeps who did it and why" do
    task_id = submit("hold", file: "never")
    outcome = tasker("cancel", task_id, "--reason", "ordered twice")
    expect([outcome.status, outcome.err, outcome.out]).to match([0, "", include("cancelled")])
    expect(tasker("explain", task_id).out).to match(/by #{Etc.getpwuid.name}\b.*ordered twice/)
    expect(sql("SELECT initiator FROM tasker_tasks")).to eq([{ "initiator" => Etc.getpwuid.name }])
    expect(tasker("list", "--state", "cancelled", "--json").json.size).to eq(1)
    expect(tasker("cancel", task_id).status).to eq(0)
  end

  it "filters what it lists" do
    3.times { submit("echo") }
    submit("hold", file: "never")
    expect(tasker("list", "--name", "echo", "--limit", "2", "--json").json.size).to eq(2)
    expect(tasker("list", "--state", "complete").out).to eq("no tasks\n")
  end

  it "is silent when the reader of its output goes away" do
    submit("echo")
    command = "#{Shellwords.join([*tasker_program, "list"])} | true; echo ${PIPESTATUS[0]}"
    outcome = run_program("bash", "-c", command, env: { "DATABASE_URL" => database_url })
    expect([outcome.out, outcome.err]).to eq(["0\n", ""])
  end

  describe "bad input" do
    before { submit("echo") }

    {
      "an unknown template" => [%w[submit ehco], /ehco/],
      "an unknown version" => [%w[submit echo --version 9.9.9], /9\.9\.9/],
      "a context against the schema" => [["submit", "echo", "--context", "{\"number\":\"x\"}"], /number/],
      "a context with U+0000" => [["submit", "echo", "--context", "{\"a\":\"\\u0000\"}"], /0000/],
      "a context that is not JSON" => [["submit", "echo", "--context", "{"], /not JSON/],
      "a context that is no object" => [["submit", "echo", "--context", "7"], /must be a JSON object, got 7/],
      "a missing file" => [%w[submit echo --context @/no/such/file], %r{@/no/such/file cannot be read: No such file}],
      "status of an id that does not exist" => [%w[status 999], /999/],
      "result of an id that does not exist" => [%w[result 999], /999/],
      "explain of an id that does not exist" => [%w[explain 999], /999/],
      "cancel of an id that does not exist" => [%w[cancel 999], /999/],
      "an id that is none" => [%w[status -- -1], /task_id is "-1", allowed: a whole number from 1/],
      "a step that does not exist" => [%w[result 1 frist], /frist.*did you mean "first"/],
      "explain of a step that does not exist" => [%w[explain 1 frist], /frist/]
    }.each do |name, (words, message)|
      it "refuses #{name} in one line, with exit status 2 and nothing written" do
        before = [rows("tasker_tasks"), rows("tasker_task_transitions")]
        outcome = tasker(*words)
        expect([outcome.status, outcome.out]).to eq([2, ""])
        expect(outcome.err).to match(/\Atasker: [^\n]*#{message.source}/)
        expect(outcome.err).not_to match(/\.rb:\d+/)
        expect([rows("tasker_tasks"), rows("tasker_task_transitions")]).to eq(before)
      end
    end

    it "refuses a context that is too large" do
      path = file("large.json", JSON.generate("text" => "x" * 70_000_000))
      outcome = tasker("submit", "echo", "--context", "@#{path}")
      expect([outcome.status, outcome.err.length, rows("tasker_tasks")]).to match([2, be < 1000, 1])
    end

    it "refuses a context that is not UTF-8" do
      path = file("latin.json", "{\"a\":\"\xE4\"}")
      outcome = tasker("submit", "echo", "--context", "@#{path}")
      expect([outcome.status, outcome.err]).to match([2, /\Atasker: --context @.*latin.json is not valid UTF-8/])
    end

    {
      "a cycle" => ["name: c\nstep_templates:\n" \
                    "- {name: a, handler_class: Fixtures::Echo, depends_on_step: b}\n" \
                    "- {name: b, handler_class: Fixtures::Echo, depends_on_step: a}\n", /a.*b/],
      "an unknown key" => ["name: c\nstep_template:\n- {name: a, handler_class: Fixtures::Echo}\n", /step_templates/],
      "a tag" => ["name: !ruby/object:Object {}\nstep_templates: []\n", /tag/],
      "an alias" => ["name: &a x\nstep_templates: [*a]\n", /alias|anchor/]
    }.each do |name, (text, message)|
      it "refuses a template with #{name}, naming the file" do
        path = file("template.yaml", text)
        outcomes = [%w[submit c], %w[work]].map { |words| tasker(*words, "-r", fixtures, "-r", path) }
        expect(outcomes.map(&:status)).to eq([2, 2])
        expect(outcomes.map(&:err)).to all(match(/\Atasker: .*template\.yaml.*#{message.source}/m))
        expect(rows("tasker_named_tasks")).to eq(3).or eq(1)
      end
    end

    it "sets a template aside whose handler is missing: it is not submitted, and the others go on" do
      path = file("template.yaml", "name: c\nstep_templates:\n- {name: a, handler_class: Fixtures::Ehco}\n")
      told = /template\.yaml: step "a": handler class Fixtures::Ehco cannot be found.*"Fixtures::Echo"/
      submit, doctor = [%w[submit c], %w[doctor]].map { |words| tasker(*words, "-r", path, "-r", fixtures) }
      expect([submit.status, submit.err]).to match([2, /^tasker: .*#{told.source}/])
      expect([doctor.status, doctor.out]).to match([1, /failed +1  templates +each template can be .*#{told.source}/])

      id = tasker("submit", "echo", "-r", path, "-r", fixtures).out[/\d+/]
      tasker_running("work", "-r", path, "-r", fixtures) do |worker|
        wait_until("the other is executed", within: 60) { tasker("status", id).out.include?("complete") }
        expect(worker.text).to match(/^E, .*#{told.source}.*everything else goes on$/)
      end
    end

    it "checks templates without a database, each of them" do
      good = file("good.yaml", "name: c\nstep_templates:\n- {name: a, handler_class: NotLoaded}\n")
      bad = file("bad.yaml", "name: c\nstep_templates:\n- {name: a, handler_class: X, depends_on_step: b}\n")
      named = file("named.yaml", "name: c (compensation)\nstep_templates:\n- {name: a, handler_class: X}\n")
      long = file("long.yaml", "name: #{"c" * 114}\nstep_templates:\n" \
                               "- {name: a, handler_class: X, compensate_with: X}\n")
      files = [bad, good, "/no/such.yaml", named, long]
      outcome = tasker("templates", "validate", *files, env: { "DATABASE_URL" => unreachable })
      expect([outcome.status, outcome.out]).to eq([2, "✓ ok  #{good}: default/c 0.1.0, 1 step\n"])
      expect(outcome.err.lines.grep(/failed/)).to match(
        [/bad\.yaml.*"b"/, %r{/no/such\.yaml}, /named\.yaml: name is "c \(comp.*; allowed: a name that does/,
         /long\.yaml: name is "c.*; allowed: at most 113 bytes/]
      )
    end
  end

  describe "the database" do
    commands = [%w[status 1], %w[submit echo], %w[list], %w[doctor], %w[migrate], ["work", "-r", fixtures],
                ["work", "-p", "2", "-r", fixtures], %w[templates list], %w[workers]]

    it "is missed within seconds and in one line" do
      started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      outcomes = commands.map { |words| tasker(*words, "--database-url", unreachable) }
      expect(outcomes.map { |outcome| [outcome.status, outcome.out] }).to all(eq([2, ""]))
      expect(outcomes.map(&:err)).to all(match(/\Atasker: [^\n]*localhost[^\n]*\n\z/))
      expect(Process.clock_gettime(Process::CLOCK_MONOTONIC) - started).to be < 5 * commands.size
    end

    it "is refused when its URL is none" do
      outcome = tasker("list", "--database-url", "mysql://x")
      expect([outcome.status, outcome.err]).to match([2, %r{\Atasker: database_url .*postgres://}])
    end

    it "says which command to run when there are no tables", database: :empty do
      outcomes = (commands - [%w[migrate]]).map { |words| tasker(*words) }
      expect(outcomes.map { |outcome| [outcome.status, outcome.out] }).to all(eq([2, ""]))
      expect(outcomes.map(&:err)).to all(match(/\Atasker: [^\n]*tasker migrate/))
    end

    it "says that the program must be updated when the tables are newer", doctor: false do
      sql("COMMENT ON TABLE tasker_tasks IS 'tasker_core schema 999'")
      outcomes = commands.map { |words| tasker(*words) }
      expect(outcomes.map { |outcome| [outcome.status, outcome.out] }).to all(eq([2, ""]))
      expect(outcomes.map(&:err)).to all(match(/\Atasker: [^\n]*999/))
    end

    it "is migrated up, not twice, and down", database: :empty do
      expect(tasker("migrate").out).to match(/\Aapplied 001_.*\nschema is at version \d+\n\z/)
      expect(tasker("migrate").out).to match(/\Aschema is at version \d+, nothing to do\n\z/)
      expect(tasker("migrate", "--to", "0", "--json").json).to include("to" => 0)
      expect(sql("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'tasker%'")).to eq([{ "count" => "0" }])
    end
  end

  describe "work" do
    # Submits a task whose step waits for a file, and gives the file to the block once the step runs.
    def holding(number = 1)
      path = File.join(@folder, "release-#{number}")
      submit("hold", file: path)
      wait_until("the step runs") { File.size?("#{path}.waits") }
      yield path
    end

    it "lets what runs finish after TERM" do
      with_worker("-c", "2") do |worker|
        holding do |path|
          worker.signal("TERM")
          File.write(path, "")
          expect(wait_until("it stops") { worker.status }).to eq(0)
        end
        expect(worker.text).to match(/worker \d+ \(pid #{worker.pid}\) is ready: 2 threads, queues: all/)
        expect(worker.text).to match(/worker stopped: 1 attempt finished, 0 given back, 0 interrupted/)
      end
      expect(tasker("status", "1").status).to eq(0)
      expect(tasker("list", "--state", "complete", "--json").json.size).to eq(1)
    end

    [%w[TERM TERM], %w[INT INT], %w[QUIT]].each do |signals|
      it "stops at once after #{signals.join(" and ")}, and the step is executed again" do
        holding_worker(signals)
        with_worker do
          File.write(File.join(@folder, "release-1"), "")
          wait_until("the task completes") { tasker("status", "1", "--json").json["state"] == "complete" }
        end
      end
    end

    def holding_worker(signals)
      with_worker do |worker|
        holding do
          worker.signal(signals.first)
          wait_until("it has heard the first") { signals.one? || worker.text.include?("once more stops it at once") }
          worker.signal(signals.last) unless signals.one?
          wait_until("it stops", within: 15) { worker.status }
          expect([worker.status, worker.text]).to match([0, /1 interrupted/])
        end
      end
    end

    it "serves only the queues that it is told to serve" do
      with_worker("--queues", "other") do
        submit("echo")
        expect(tasker("workers", "--json").json.first["queues"]).to eq(["other"])
      end
      expect(tasker("status", "1", "--json").json["state"]).to eq("pending")
    end

    it "runs several processes and ends with them" do
      with_worker("-p", "2", "-c", "1") do |supervisor|
        pids = [1, 2].map { |number| holding(number) { |path| File.read("#{path}.waits").to_i } }
        expect(pids.uniq.size).to eq(2)
        [1, 2].each { |number| File.write(File.join(@folder, "release-#{number}"), "") }
        supervisor.signal("TERM")
        expect(wait_until("it stops") { supervisor.status }).to eq(0)
        expect(pids.map { |pid| alive?(pid) }).to eq([false, false])
      end
    end
  end

  describe "the embedded Postgres", database: :empty do
    before { File.chmod(0o711, @folder) }

    define_method(:embedded) do |*words|
      tasker(*words, env: { "TASKER_DATA_DIR" => File.join(@folder, "data") }, chdir: @folder)
    end

    after { embedded("db", "stop") }

    it "is used when nothing names a database, and that is said once" do
      first = embedded("migrate")
      expect([first.status, first.err]).to match([0, /\Atasker: no database is configured: started the embedded.*\n\z/])
      expect(embedded("migrate").err).to eq("")
    end

    it "starts, tells its URL, stops and starts empty again" do
      expect(embedded("db", "status").status).to eq(1)
      expect(embedded("db", "start").out).to start_with("the embedded Postgres started\n")
      expect(embedded("db", "status", "--json").json).to include("running" => true)
      url = embedded("db", "url").out.chomp
      expect(tasker("migrate", "--database-url", url).status).to eq(0)
      expect(embedded("db", "reset").status).to eq(2)
      expect(embedded("db", "reset", "--force").status).to eq(0)
      expect(tasker("list", "--database-url", url).err).to include("tasker migrate")
      expect(embedded("db", "stop").out).to start_with("the embedded Postgres stopped\n")
      expect(embedded("db", "stop").out).to start_with("the embedded Postgres was not running\n")
    end
  end
end
