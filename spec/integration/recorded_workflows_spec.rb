# frozen_string_literal: true

require "tmpdir"
require_relative "../../examples/large_graph/shapes"

RSpec.describe "examples/recorded_workflows", database: :empty do
  include CommandLine

  recorded = ENV.fetch("TASKER_WORKFLOWS_DIR", File.expand_path("../../../shared/data/workflows", __dir__))

  around do |example|
    Dir.mktmpdir { |folder| (@folder = folder) && example.run }
  end

  def log
    File.join(@folder, "log.jsonl")
  end

  def replay(path, *options)
    run_program(RbConfig.ruby, "examples/recorded_workflows/run", path, *options, "--log", log,
                env: { "DATABASE_URL" => database_url })
  end

  def write(text)
    File.join(@folder, "graph.json").tap { |path| File.binwrite(path, text) }
  end

  def entry(id, *parents, **more)
    { id: id, name: "work", parents: parents, runtime_s: 0.001, input_bytes: 0, output_bytes: 0 }.merge(more)
  end

  # What the log says, as a check: each task once, none before its parents ended.
  def faults_in(log, tasks)
    lines = lines_of(log)
    ids = tasks.map { |task| task["id"] }
    executed = lines.map { |line| line["task"] }
    { missing: ids - executed, unknown: executed - ids, twice: executed.tally.select { |_, times| times > 1 },
      failed: lines.reject { |line| line["ok"] }, too_early: too_early(lines, tasks) }
  end

  def lines_of(log)
    File.readlines(log).map { |line| JSON.parse(line) }
  end

  def too_early(lines, tasks)
    by_task = lines.to_h { |line| [line["task"], line] }
    tasks.select do |task|
      task["parents"].any? { |parent| by_task[parent]["finished"] > by_task[task["id"]]["started"] }
    end
  end

  def expect_a_good_run(path, outcome)
    expect([outcome.status, outcome.err]).to eq([0, ""])
    expect(faults_in(log, JSON.parse(File.read(path))["tasks"]).reject { |_, found| found.empty? }).to eq({})
  end

  %w[cholesky wavefront map_reduce].each do |shape|
    it "executes each step of a #{shape} graph once and after its parents" do
      path = write(JSON.generate(LargeGraph.document(shape, tiles: 6)))
      expect_a_good_run(path, replay(path, "--time-scale", "0.1", "--concurrency", "8"))
    end
  end

  it "executes in several processes" do
    path = write(JSON.generate(LargeGraph.document("wavefront", tiles: 8)))
    expect_a_good_run(path, replay(path, "--time-scale", "10", "--concurrency", "2", "--processes", "2"))
    expect(lines_of(log).map { |line| line["pid"] }.uniq.size).to eq(2)
  end

  it "sleeps the recorded time times the scale" do
    path = write(JSON.generate(tasks: [entry("a", runtime_s: 2.0), entry("b", "a", runtime_s: nil)]))
    expect_a_good_run(path, replay(path, "--time-scale", "0.1"))
    seconds = lines_of(log).to_h { |line| [line["task"], line["finished"] - line["started"]] }
    expect(seconds).to match("a" => be_between(0.2, 1.9), "b" => be < 0.2)
  end

  it "takes ids of any text, entries before their parents, and unconnected parts" do
    ids = ["a b", "(x,y)/z", "{\"q\":1}", "ü€😀", "'; --", "x" * 512, "\n", "%s\\0"]
    tasks = [entry("last", *ids), *ids.map { |id| entry(id) }, entry("alone"), { id: "bare", parents: [] }]
    path = write(JSON.generate(tasks: tasks))
    expect_a_good_run(path, replay(path, "--time-scale", "0"))
  end

  it "runs the same file again, and appends to the log" do
    path = write(JSON.generate(tasks: [entry("a"), entry("b", "a")]))
    2.times { expect(replay(path).status).to eq(0) }
    expect(File.readlines(log).size).to eq(4)
  end

  it "leaves no process behind and cancels the task when it is interrupted" do
    path = write(JSON.generate(tasks: [entry("long", runtime_s: 600)]))
    environment = { "DATABASE_URL" => database_url }
    running(RbConfig.ruby, "examples/recorded_workflows/run", path, env: environment) do |program|
      wait_until("the step runs", within: 30) { step_states == ["in_progress"] }
      worker = sql("SELECT pid FROM tasker_workers").first["pid"].to_i
      program.signal("INT")
      wait_until("it ends", within: 60) { program.status }
      expect([program.status, alive?(worker), program.text]).to eq([130, false, "run: stopped; task 1 is cancelled\n"])
    end
    expect(sql("SELECT state FROM tasker_tasks")).to eq([{ "state" => "cancelled" }])
  end

  def step_states
    sql("SELECT state FROM tasker_workflow_steps").map { |row| row["state"] }
  rescue PG::UndefinedTable
    []
  end

  describe "a malformed file" do
    a = { id: "a", parents: [] }
    {
      "a cycle" => [[{ id: "a", parents: ["c"] }, { id: "b", parents: ["a"] }, { id: "c", parents: ["b"] }], /a.*b.*c/],
      "a missing parent" => [[a, { id: "b", parents: ["ghost"] }], /"b".*"ghost"/],
      "a duplicate id" => [[a, { id: "b", parents: [] }, a], /"a"/],
      "an entry that is its own parent" => [[{ id: "me", parents: ["me"] }], /"me"/],
      "no tasks" => [[], /tasks must not be empty/],
      "tasks that are no list" => [{ "a" => 1 }, /tasks must be an array, got an object/],
      "no tasks at all" => [nil, /tasks must be an array, got nothing/],
      "an entry that is no object" => [[a, 7], /tasks\[1\] must be an object, got 7/],
      "an entry without id" => [[{ parents: [] }], /tasks\[0\]\.id must be text, got nothing/],
      "an empty id" => [[{ id: "", parents: [] }], /tasks\[0\]\.id must not be empty/],
      "an id that is a number" => [[{ id: 7, parents: [] }], /tasks\[0\]\.id must be text, got 7/],
      "an id with U+0000" => [[{ id: "a\u0000", parents: [] }], /tasks\[0\]\.id must not contain U\+0000/],
      "an id that is too long" => [[{ id: "x" * 513, parents: [] }], /512/],
      "an entry without parents" => [[{ id: "a" }], /\(id "a"\): parents must be an array of ids, got nothing/],
      "parents that are no list" => [[{ id: "a", parents: "b" }], /\(id "a"\): parents must be an array .* got "b"/],
      "a parent that is no id" => [[{ id: "a", parents: [nil] }], /\(id "a"\): parents\[0\] must be text, got nothing/],
      "a parent named twice" => [[a, { id: "b", parents: %w[a a] }], /\(id "b"\): parents name "a" twice/],
      "a negative runtime" => [[a.merge(runtime_s: -1)], /\(id "a"\): runtime_s must be a number .* got -1/],
      "a runtime that is text" => [[a.merge(runtime_s: "1")], /\(id "a"\): runtime_s must be a number .* got "1"/],
      "negative bytes" => [[a.merge(input_bytes: -1)], /\(id "a"\): input_bytes must be a whole number .* got -1/],
      "too many bytes" => [[a.merge(output_bytes: 2**63)], /\(id "a"\): output_bytes must be a whole number/],
      "a name that is no text" => [[a.merge(name: 7)], /\(id "a"\): name must be text, got 7/]
    }.each do |name, (tasks, message)|
      it "with #{name} is refused before anything is written" do
        refused(write(JSON.generate(tasks.nil? ? {} : { tasks: tasks })), message)
      end
    end

    {
      "what is not JSON" => ["{\"tasks\": [", /not JSON/],
      "what is not UTF-8" => ["{\"tasks\":[{\"id\":\"\xFF\",\"parents\":[]}]}", /not valid UTF-8/],
      "a lone surrogate" => ["{\"tasks\":[{\"id\":\"\\ud800\",\"parents\":[]}]}", /surrogate/],
      "a list" => ["[]", /must hold a JSON object, got an array/],
      "a runtime without end" => ["{\"tasks\":[{\"id\":\"a\",\"parents\":[],\"runtime_s\":1e999}]}", /runtime_s/],
      "endless nesting" => ["{\"tasks\":#{"[" * 5000}", /not JSON/],
      "nothing" => ["", /not JSON/]
    }.each do |name, (text, message)|
      it "with #{name} is refused before anything is written" do
        refused(write(text), message)
      end
    end

    it "that does not exist is refused" do
      refused("/no/such/file.json", /No such file/)
    end

    def refused(path, message)
      outcome = replay(path)
      expect([outcome.status, outcome.out, outcome.err]).to match([2, "", /\Arun: #{path}: [^\n]*#{message.source}/m])
      expect(outcome.err).not_to match(/\.rb:\d+/)
      expect(File.size?(log)).to be_nil
      expect(sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")).to eq([{ "count" => "0" }])
    end
  end

  {
    %w[--concurrency 0] => /--concurrency must be a whole number from 1, got 0/,
    %w[--processes -1] => /--processes must be a whole number from 1, got -1/,
    %w[--time-scale -1] => /--time-scale must be a number from 0, got -1/,
    %w[--time-scale fast] => /invalid argument: --time-scale fast/,
    %w[--quickly] => /invalid option: --quickly/
  }.each do |options, message|
    it "refuses #{options.join(" ")}" do
      outcome = replay(write("{}"), *options)
      expect([outcome.status, outcome.err]).to match([2, message])
    end
  end

  Dir.glob("*.json", base: recorded).sort.each do |name|
    it "executes #{name}", timeout: 300 do
      path = File.join(recorded, name)
      expect_a_good_run(path, replay(path, "--time-scale", "0", "--concurrency", "10"))
    end
  end

  if File.exist?(File.join(recorded, "build-sdl-795.json"))
    it "executes a recorded build in two processes", timeout: 300 do
      path = File.join(recorded, "build-sdl-795.json")
      expect_a_good_run(path, replay(path, "--time-scale", "0.002", "--concurrency", "4", "--processes", "2"))
    end
  end
end
