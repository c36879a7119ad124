# frozen_string_literal: true

RSpec.describe "Priorities", :database do
  include CommandLine
  include Workflows

  # Defines a template whose handler notes the word of each context; with these options.
  def note(name = "noted", queue: "default", **options)
    noted = @noted ||= Queue.new
    handler("Note") { |task| noted << task.context["word"] } unless defined?(Note)
    TaskerCore.define(name, **options) { step "only", handler: "Note", queue: queue }
  end

  def submit(word, name = "noted", **options)
    TaskerCore.submit(name, context: { word: word }, **options)
  end

  # The words in the order of their executions, by one thread that begins when all of it stands in the queue.
  def executed(**worker)
    working(concurrency: 1, **worker) do
      wait_until("all tasks have ended", within: 30) { TaskerCore.list.all?(&:settled?) }
    end
    Array.new(@noted.size) { @noted.pop }
  end

  it "has urgent tasks begin first" do
    note
    TaskerCore.submit_all("noted", contexts: [{ word: "late" }] * 10, priority: 10)
    submit("usual")
    TaskerCore.submit_all("noted", contexts: [{ word: "urgent" }] * 10, priority: -10)

    expect(executed).to eq((["urgent"] * 10) + ["usual"] + (["late"] * 10))
  end

  it "orders what was submitted for later once it is due, by the time within a priority" do
    note
    note("scheduled")
    ids = [["later", 1], ["late", 1], ["first", -1]].map { |word, priority| submit(word, priority: priority) }
    tomorrow = submit("tomorrow", priority: -5)
    sql("UPDATE tasker_ready_steps SET available_at = now() - interval '1 s' WHERE workflow_step_id = $1", ids[1] << 20)
    sql("UPDATE tasker_ready_steps SET available_at = now() + interval '1 day' WHERE workflow_step_id = $1",
        tomorrow << 20)
    working(concurrency: 1) { ids.each { |id| TaskerCore.wait(id, timeout: 30) } }

    expect(Array.new(@noted.size) { @noted.pop }).to eq(%w[first late later])
    expect(TaskerCore.status(tomorrow).state).to eq("pending")
  end

  it "goes over all queues that the worker serves" do
    note
    note("other", queue: "other")
    note("elsewhere", queue: "elsewhere")
    words = { "c" => 2, "a" => -2 }.each { |word, priority| submit(word, priority: priority) }
    { "d" => 3, "b" => -1 }.each { |word, priority| submit(word, "other", priority: priority) }
    left = submit("nobody", "elsewhere", priority: -9)
    working(concurrency: 1, queues: %w[other default]) do
      wait_until("all others have ended", within: 30) { TaskerCore.list.count(&:settled?) == words.size + 2 }
    end

    expect(Array.new(@noted.size) { @noted.pop }).to eq(%w[a b c d])
    expect(TaskerCore.status(left).state).to eq("pending")
  end

  it "come from the template, unless the submit says another, and are no part of what a task is known by" do
    note(priority: 7)
    ids = [submit("a"), submit("b", priority: 0), submit("c", priority: -1, idempotency_key: "c")]
    again = submit("c", priority: 5, idempotency_key: "c")

    expect(ids.map { |id| TaskerCore.status(id).priority }).to eq([7, 0, -1])
    expect(again).to eq(ids.last)
    expect(executed).to eq(%w[c b a])
  end

  it "go on to tasks that steps run, that undo others, and to forks" do
    handler("Any") { 1 }
    handler("Undo") { 1 }
    handler("Refuse") { raise TaskerCore::PermanentError, "no" }
    TaskerCore.define("inner", priority: 9) { step "only", handler: "Any" }
    TaskerCore.define("outer") do
      step "runs", workflow: "inner", compensate_with: "Undo"
      step "fails", handler: "Refuse", depends_on: "runs"
    end
    outer = TaskerCore.submit("outer", priority: -4)
    fork = nil
    working do
      TaskerCore.wait(outer, timeout: 30)
      wait_until("it is undone") { TaskerCore.status(outer).compensated_by }
      inner = TaskerCore.status(outer).children.first["task_id"]
      fork = TaskerCore.fork(inner, from: "only", actor: "mara")
      wait_until("all tasks have ended", within: 30) { TaskerCore.list.all?(&:settled?) }
    end

    expect(TaskerCore.list.to_h { |task| [task.name, task.priority] }.values).to all(eq(-4))
    expect([TaskerCore.list.size, TaskerCore.status(fork).priority]).to eq([4, -4])
  end

  it "are asked for and shown by the command" do
    note
    word = ["--context", "{\"word\":\"a\"}"]
    TaskerCore.submit("noted", context: { word: "b" })
    outcome = tasker("submit", "noted", *word, "--priority", "-12")
    id = outcome.out[/task (\d+) submitted/, 1]

    expect(tasker("status", id).out).to match(/^priority: +-12$/)
    expect(tasker("status", "1").out).not_to include("priority")
    expect(%w[status result explain].map { |name| tasker(name, id, "--json").json["priority"] }).to eq([-12] * 3)
    expect(tasker("result", id).out).to include("priority -12")
    expect(tasker("explain", id).out).to include("its priority is -12")
    expect(tasker("result", "1", "--json").json).not_to include("priority")
    refused = tasker("submit", "noted", *word, "--priority", "32768")
    expect([refused.status, refused.err]).to match([2, /priority is 32768, allowed: a whole number from -32768/])
  end

  it "are checked when a template is loaded, which names the file" do
    handler("Any") { 1 }
    expect { TaskerCore.define("never", priority: 32_768) { step "only", handler: "Any" } }
      .to raise_error(TaskerCore::InvalidTemplate, /priority is 32768; allowed: an integer from -32768 to 32767/)
    Dir.mktmpdir do |folder|
      file = File.join(folder, "never.yaml")
      File.write(file, "name: never\npriority: high\nstep_templates:\n- name: a\n  handler_class: Any\n")
      expect { TaskerCore.load_templates(file) }
        .to raise_error(TaskerCore::InvalidTemplate, /#{file}.*priority is "high"; allowed: an integer/)
    end
  end
end
