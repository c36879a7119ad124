# frozen_string_literal: true

RSpec.describe "Submitting tasks", :database do
  include Workflows

  before do
    handler("Echo") { |task, _sequence, _step| task.context }
    TaskerCore.define("echo", namespace: "shop", version: "1.2.0") { step "echo", handler: "Echo" }
    TaskerCore.define("echo") { step "echo", handler: "Echo" }
  end

  it "records the task with what was said about it" do
    task_id = TaskerCore.submit("echo", namespace: "shop", context: { order: { id: 7, "tags" => [nil, 1.5] } },
                                        initiator: "ada", source_system: "web", reason: "test", tags: %w[a b])
    row = sql("SELECT initiator, source_system, reason, tags, context FROM tasker_tasks").first

    expect(row.slice("initiator", "source_system", "reason").values).to eq(%w[ada web test])
    expect(row.values_at("tags", "context").map { |text| JSON.parse(text) })
      .to eq([%w[a b], { "order" => { "id" => 7, "tags" => [nil, 1.5] } }])
    expect(TaskerCore.status(task_id)).to have_attributes(
      task_id: task_id, namespace: "shop", name: "echo", version: "1.2.0", state: "pending", steps_total: 1,
      steps_by_state: { "enqueued" => 1 }, attempts_total: 0, started_at: nil, finished_at: nil,
      requested_at: be_within(60).of(Time.now)
    )
  end

  it "gives the handlers the context that was submitted" do
    context = { "big" => 10**30, "float" => 0.1, "text" => "é \u{1F600}", "list" => [{}, [], nil, true] }

    expect(run("echo", context: context).results_of("echo")).to eq(context)
  end

  it "submits many tasks, in order" do
    ids = TaskerCore.submit_all("echo", contexts: Array.new(300) { |i| { i: i } }, reason: "bulk")

    expect(ids.uniq.size).to eq(300)
    expect(sql("SELECT task_id, context->>'i' AS i FROM tasker_tasks ORDER BY (context->>'i')::int")
      .map { |row| [row["task_id"].to_i, row["i"].to_i] }).to eq(ids.zip(0..299))
  end

  it "submits many tasks or none" do
    contexts = Array.new(50) { |i| i == 49 ? { "bad" => "nul \u0000" } : {} }

    expect { TaskerCore.submit_all("echo", contexts: contexts) }.to raise_error(TaskerCore::InvalidContext)
    expect(count("tasker_tasks")).to eq(0)
  end

  it "uses the highest version that this process has loaded, or the one that is asked for" do
    TaskerCore.define("echo", version: "0.10.0") { step "echo", handler: "Echo" }
    TaskerCore.define("echo", version: "0.9.0") { step "echo", handler: "Echo" }
    ids = [TaskerCore.submit("echo"), TaskerCore.submit("echo", version: "0.9.0")]

    expect(ids.map { |id| TaskerCore.status(id).version }).to eq(%w[0.10.0 0.9.0])
  end

  it "uses a template of the database that this process has not loaded" do
    TaskerCore.submit("echo")
    TaskerCore.registry.clear

    expect(TaskerCore.status(TaskerCore.submit("echo")).name).to eq("echo")
  end

  it "records a template once" do
    3.times { TaskerCore.submit("echo") }

    expect(count("tasker_named_tasks")).to eq(1)
  end

  it "records a template again when the database was emptied meanwhile" do
    TaskerCore.submit("echo")
    %w[ready_steps tasks named_tasks].each { |table| sql("DELETE FROM tasker_#{table}") }

    expect(TaskerCore.status(TaskerCore.submit("echo")).state).to eq("pending")
  end

  it "refuses another definition under a version that has tasks" do
    TaskerCore.submit("echo")
    TaskerCore.registry.clear
    TaskerCore.define("echo") { step "other", handler: "Echo" }

    expect { TaskerCore.submit("echo") }.to raise_error(TaskerCore::TemplateConflict, %r{default/echo.*0\.1\.0})
    expect(count("tasker_tasks")).to eq(1)
  end

  it "lists the newest tasks, page by page" do
    ids = Array.new(5) { TaskerCore.submit("echo") }
    first = TaskerCore.list(limit: 2)

    expect(first.map(&:task_id)).to eq(ids.last(2).reverse)
    expect(TaskerCore.list(limit: 2, before: first.last.task_id).map(&:task_id)).to eq(ids[1..2].reverse)
    expect(TaskerCore.list(state: "complete")).to eq([])
    expect(TaskerCore.list(name: "echo", namespace: "default").size).to eq(5)
  end

  it "waits until a task is over, and no longer than it is told" do
    task_id = TaskerCore.submit("echo")

    expect { TaskerCore.wait(task_id, timeout: 0.05) }
      .to raise_error(TaskerCore::TimeoutError, "task #{task_id} is pending after 0.05 s; it goes on")
    working { expect(TaskerCore.wait(task_id, timeout: 30)).to be_complete }
    expect(TaskerCore.wait(task_id, timeout: 0)).to be_complete
  end

  it "can be shared by threads" do
    ids = Array.new(8) { Thread.new { Array.new(10) { TaskerCore.submit("echo") } } }.flat_map(&:value)

    expect([ids.uniq.size, count("tasker_named_tasks")]).to eq([80, 1])
  end

  it "works in a forked child, and in the parent afterwards" do
    TaskerCore.submit("echo")
    pid = fork do
      TaskerCore.submit("echo")
      TaskerCore.client.close
      exit!(0)
    end

    expect(Process.wait2(pid).last).to be_success
    expect { TaskerCore.submit("echo") }.to change { count("tasker_tasks") }.from(2).to(3)
  end
end
