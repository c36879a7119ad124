# frozen_string_literal: true

RSpec.describe "A worker", :database do
  include Outages
  include Workflows

  # Lets handlers report and wait, across threads.
  let(:started) { Thread::Queue.new }
  let(:go) { Thread::Queue.new }

  def state_of(task_id)
    TaskerCore.status(task_id).state
  end

  it "executes every step once, none before its parents, with their results" do
    seen = Thread::Queue.new
    handler("Count") do |_task, sequence, step|
      seen << step.name
      sequence.names.filter_map { |name| sequence.results_of(name) }.sum + 1
    end
    TaskerCore.define("diamond") do
      step "top", handler: "Count"
      step "left", handler: "Count", depends_on: "top"
      step "right", handler: "Count", depends_on: ["top"]
      step "bottom", handler: "Count", depends_on: %w[left right]
    end
    result = run("diamond")
    order = Array.new(seen.size) { seen.pop }

    expect(result).to be_complete
    expect([order.first, order.last, order.sort]).to eq(["top", "bottom", %w[bottom left right top]])
    expect(result.results_of("top")).to eq(1)
    expect(result.results_of("bottom")).to be >= 6
    expect(result.steps.map(&:attempts)).to eq([1, 1, 1, 1])
  end

  it "gives a handler all it needs to know" do
    know = handler("Know") do |task, sequence, step|
      { "task" => [task.task_id, task.namespace, task.name, task.version, task.context],
        "step" => [step.name, step.attempt, step.attempts, step.retry_limit, step.config, step.inputs == task.context,
                   step.idempotency_key == "tasker-#{step.workflow_step_id}"],
        "others" => sequence.names }
    end
    know.class_eval { def process_results(step, output, _) = step.results = output.merge("handler" => config) }
    TaskerCore.define("know", namespace: "n", version: "1.0.0") do
      step "only", handler: "Know", retry_limit: 7, config: { url: "u", nested: { a: [1] } }
    end
    result = run("know", namespace: "n", context: { "a" => 1 })

    expect(result.results_of("only")).to eq(
      "task" => [result.task_id, "n", "know", "1.0.0", { "a" => 1 }],
      "step" => ["only", 1, 0, 7, { "url" => "u", "nested" => { "a" => [1] } }, true, true],
      "handler" => { "url" => "u", "nested" => { "a" => [1] } }, "others" => ["only"]
    )
  end

  it "lets process_results turn the output into the results" do
    handler("Slim") { { "kept" => 1, "dropped" => 2 } }.class_eval do
      def process_results(step, output, initial)
        step.results = [initial, output.slice("kept")]
      end
    end
    TaskerCore.define("slim") { step "only", handler: "Slim" }

    expect(run("slim").results_of("only")).to eq([nil, { "kept" => 1 }])
  end

  it "gives handlers large contexts as they were submitted" do
    define_one { |task| [task.context_json.encoding.name, task.context["words"].size, task.context["words"].uniq] }
    [500, 600, 60_000].each do |words|
      result = run("one", context: { words: Array.new(words, "größe") })
      expect(result.results_of("only")).to eq(["UTF-8", words, ["größe"]])
    end
  end

  it "keeps results that process assigned itself" do
    define_one { |_task, _sequence, step| (step.results = { "mine" => true }) && "output" }

    expect(run("one").results_of("only")).to eq("mine" => true)
  end

  it "executes a class that is no StepHandler::Base" do
    stub_const("Plain", Class.new { def process(task, _sequence, _step) = task.context.keys })
    TaskerCore.define("plain") { step "only", handler: Plain }

    expect(run("plain", context: { a: 1 }).results_of("only")).to eq(["a"])
  end

  it "keeps results that such a class assigned itself" do
    stub_const("Plain", Class.new { def process(_task, _sequence, step) = (step.results = "mine") && "output" })
    TaskerCore.define("plain") { step "only", handler: Plain }

    expect(run("plain").results_of("only")).to eq("mine")
  end

  it "executes many short steps and one long one side by side" do
    handler("Short") { nil }
    handler("Long") { go.pop }
    TaskerCore.define("mixed") { 200.times { |i| step "s#{i}", handler: "Short" } }
    TaskerCore.define("long") { step "only", handler: "Long" }
    ids = [TaskerCore.submit("long"), TaskerCore.submit("mixed")]

    working do
      expect(TaskerCore.wait(ids.last, timeout: 30)).to be_complete
      expect(state_of(ids.first)).to eq("in_progress")
      go << nil
      expect(TaskerCore.wait(ids.first, timeout: 30)).to be_complete
    end
  end

  it "lets a handler's own Timeout interrupt it" do
    define_one(retryable: false) do
      Timeout.timeout(0.05) { sleep }
    rescue Timeout::Error
      "timed out"
    end

    expect(run("one").results_of("only")).to eq("timed out")
  end

  it "replaces a thread that a handler ended" do
    define_one { |_task, _sequence, step| step.attempt == 1 ? Thread.exit : step.attempt }
    result = run("one", worker: { concurrency: 1 })

    expect(result.results_of("only")).to eq(2)
  end

  it "serves only its queues" do
    handler("Any") { nil }
    TaskerCore.define("mail") { step "only", handler: "Any", queue: "mail" }
    TaskerCore.define("other") { step "only", handler: "Any", queue: "other" }
    ids = [TaskerCore.submit("other"), TaskerCore.submit("mail")]
    working(queues: ["mail"]) { TaskerCore.wait(ids.last, timeout: 30) }

    expect(ids.map { |id| state_of(id) }).to eq(%w[pending complete])
  end

  it "is seen in the database while it works" do
    working(concurrency: 3) do |worker|
      row = TaskerCore.client.workers.find { |other| other["worker_id"] == worker.id }

      expect(row).to include("pid" => Process.pid, "state" => "running", "concurrency" => 3)
      expect(worker.stats.fetch("claimed")).to eq(0)
    end
  end

  it "records the templates of this process when it starts" do
    define_one { nil }
    working { expect(TaskerCore.client.templates.map { |row| row["name"] }).to eq(["one"]) }
  end

  describe "stopping" do
    it "lets running steps finish and claims no more" do
      define_one { (started << 1) && go.pop }
      ids = TaskerCore.submit_all("one", contexts: Array.new(4) { {} })
      worker = TaskerCore::Worker.new(**Workflows::QUICK).start
      2.times { started.pop }
      worker.stop
      2.times { go << nil }
      summary = worker.wait(timeout: 30)

      expect(summary).to have_attributes(interrupted: 0).and be_frozen
      expect(ids.map { |id| TaskerCore.status(id).steps_by_state }.tally)
        .to eq({ "complete" => 1 } => 2, { "enqueued" => 1 } => 2)
      expect([worker.running?, started.size]).to eq([false, 0])
    end

    it "cuts off what still runs when the time is over, and another worker executes it" do
      define_one { |_task, _sequence, step| step.attempt == 1 ? (started << 1) && go.pop : step.attempt }
      task_id = TaskerCore.submit("one")
      worker = TaskerCore::Worker.new(**Workflows::QUICK, shutdown_timeout: 0.1).start
      started.pop
      worker.stop

      expect(worker.wait(timeout: 30)).to have_attributes(interrupted: 1)
      working { expect(TaskerCore.wait(task_id, timeout: 30)).to be_complete }
      expect(TaskerCore.result(task_id).results_of("only")).to eq(2)
    end

    it "has its time to write also where its connections fell silent", timeout: 120 do
      define_one { (started << 1) && go.pop }
      through_proxy do |proxy|
        task_id = TaskerCore.submit("one")
        worker = TaskerCore::Worker.new(**Workflows::QUICK, shutdown_timeout: 60).start
        started.pop
        proxy.silence
        worker.stop
        go << "written"

        expect(worker.wait(timeout: 90)).to have_attributes(in_order: true, finished: 1)
        expect(sql("SELECT task_id, results FROM tasker_workflow_steps"))
          .to eq([{ "task_id" => task_id.to_s, "results" => '"written"' }])
      end
    end

    it "ends at once when it is asked to, also in the middle of a graceful stop" do
      define_one { (started << 1) && sleep }
      TaskerCore.submit("one")
      worker = TaskerCore::Worker.new(**Workflows::QUICK, shutdown_timeout: 600).start
      started.pop
      worker.stop
      worker.stop!

      expect(worker.wait(timeout: 30)).to have_attributes(interrupted: 1)
    end

    it "may be asked from a signal trap, and runs until then" do
      worker = TaskerCore::Worker.new(**Workflows::QUICK)
      before = trap("USR1") { worker.stop }
      runner = Thread.new { worker.run }
      wait_until("the worker runs") { worker.running? }
      Process.kill("USR1", Process.pid)

      expect(runner.join(30)&.value).to be_a(TaskerCore::Worker::Summary)
    ensure
      trap("USR1", before)
    end

    it "is remembered when it is asked for before the start" do
      worker = TaskerCore::Worker.new(**Workflows::QUICK)
      worker.stop

      expect(worker.run).to be_a(TaskerCore::Worker::Summary)
    end

    it "leaves nothing behind when the thread that runs it is interrupted" do
      worker = TaskerCore::Worker.new(**Workflows::QUICK)
      runner = Thread.new { worker.run }
      runner.report_on_exception = false
      wait_until("the worker runs") { worker.running? }
      runner.raise(Interrupt)

      expect { runner.value }.to raise_error(Interrupt)
      expect(worker).not_to be_running
    end

    it "gives back what was claimed and not begun" do
      define_one { (started << 1) && go.pop }
      TaskerCore.submit_all("one", contexts: Array.new(20) { {} })
      worker = TaskerCore::Worker.new(**Workflows::QUICK).start
      2.times { started.pop }
      worker.stop
      2.times { go << nil }
      worker.wait(timeout: 30)

      expect(sql("SELECT count(*) FROM tasker_workflow_steps WHERE state = 'in_progress'").first["count"]).to eq("0")
    end

    it "works ten times in a row" do
      define_one { |task| task.context["i"] }
      10.times { |i| expect(run("one", context: { i: i }).results_of("only")).to eq(i) }
    end
  end

  it "runs once" do
    working do |worker|
      expect { worker.start }.to raise_error(TaskerCore::InvalidArgument, /started before/)
      expect(worker).to be_running
    end
  end

  it "is not stopped by a forked child of its process" do
    working do |worker|
      Process.wait(fork do
        worker.stop!
        exit!(0)
      end)

      define_one { 1 }
      expect(TaskerCore.wait(TaskerCore.submit("one"), timeout: 30)).to be_complete
    end
  end

  it "works beside another worker in a forked process, each step executed once" do
    handler("Who") { Process.pid }
    TaskerCore.define("who") { step "only", handler: "Who" }
    ids = TaskerCore.submit_all("who", contexts: Array.new(100) { {} })
    TaskerCore.client.close
    pid = fork do
      trap("TERM") { @worker&.stop }
      @worker = TaskerCore::Worker.new(**Workflows::QUICK)
      @worker.run
      TaskerCore.client.close
      exit!(0)
    end
    working { ids.each { |id| TaskerCore.wait(id, timeout: 30) } }
    Process.kill("TERM", pid)
    Process.wait(pid)

    expect(ids.map { |id| TaskerCore.status(id) }).to all(be_complete.and(have_attributes(attempts_total: 1)))
  end
end
