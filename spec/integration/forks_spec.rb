# frozen_string_literal: true

RSpec.describe "Forks", :database do
  include CommandLine
  include Workflows

  before do
    handler("Load") { |_, _, step| step.attempts }
    handler("Price") { |task| task.context["rate"] * 2 }
    handler("Ship") { |_, sequence| [sequence.results_of("load"), sequence.results_of("price")] }
    TaskerCore.define("order") do
      step "load", handler: "Load"
      step "price", handler: "Price", depends_on: "load"
      step "print", handler: "Load", depends_on: "load"
      step "ship", handler: "Ship", depends_on: "price"
    end
  end

  def histories(task_id)
    %w[load price print ship].to_h do |step|
      [step, TaskerCore.explain(task_id, step: step)["steps"].first["history"].map { |change| change["cause"] }]
    end
  end

  it "take over what stands above and beside, and execute the rest with another context" do
    source = run("order", context: { rate: 1, note: "n" }, tags: ["vip"]).task_id
    fork_id = TaskerCore.fork(source, from: :price, context: { rate: 5 }, actor: "ada", reason: "what if")
    working { TaskerCore.wait(fork_id, timeout: 30) }
    result = TaskerCore.result(fork_id)
    expect(result.steps.map { |step| [step.state, step.attempts, step.results] })
      .to eq([["complete", 0, 0], ["complete", 1, 10], ["complete", 0, 0], ["complete", 1, [0, 10]]])
    expect(histories(fork_id).slice("load", "print")).to eq("load" => ["copied"], "print" => ["copied"])
    expect(TaskerCore.result(source).results_of("ship")).to eq([0, 2])
    expect(sql("SELECT context, tags FROM tasker_tasks ORDER BY task_id").last)
      .to eq("context" => '{"note": "n", "rate": 5}', "tags" => '["vip"]')
    expect(TaskerCore.status(fork_id).forked_from)
      .to eq("task_id" => source, "steps" => ["price"], "actor" => "ada", "reason" => "what if")
    expect(TaskerCore.status(source)).to have_attributes(forks: [fork_id], forked_from: nil)
    expect(TaskerCore.explain(fork_id)["summary"])
      .to end_with("; a fork of task #{source} from price, by ada (what if)")
    expect(TaskerCore.explain(source)["summary"]).to end_with("; task #{fork_id} is a fork of it")
    expect(TaskerCore.explain(fork_id, step: "load")["steps"].first["summary"])
      .to eq("complete with the results of task #{source}, of which its task is a fork")
    expect(TaskerCore.client.doctor["ok"]).to be(true)
  end

  it "execute what had failed, and what had not begun" do
    handler("Load") { |task| task.context["rate"] || raise(TaskerCore::PermanentError, "no rate") }
    source = run("order").task_id
    fork_id = TaskerCore.fork(source, from: "ship", context: { rate: 3 })
    expect(TaskerCore.status(fork_id).steps_by_state).to eq("enqueued" => 1, "pending" => 3)
    working { TaskerCore.wait(fork_id, timeout: 30) }
    expect(TaskerCore.result(fork_id).results_of("ship")).to eq([3, 6])
    expect(TaskerCore.status(source).state).to eq("error")
  end

  it "are made once for a key, and refused where nothing could come of them" do
    source = run("order", context: { rate: 1 }).task_id
    at_once = Array.new(4) { Thread.new { TaskerCore.fork(source, from: "load", idempotency_key: "what-if") } }
    ids = [*at_once.map(&:value), TaskerCore.fork(source, from: "load", idempotency_key: "what-if")]
    expect(ids.uniq.size).to eq(1)
    expect { TaskerCore.fork(source, from: "prcie") }
      .to raise_error(TaskerCore::InvalidArgument, /did you mean "price"/)
    { [] => "[]", nil => "nil", 7 => "7" }.each do |from, seen|
      expect { TaskerCore.fork(source, from: from) }
        .to raise_error(TaskerCore::InvalidArgument, /from is #{Regexp.escape(seen)},/)
    end
    expect { TaskerCore.fork(4_711, from: "load") }.to raise_error(TaskerCore::NotFound)
    expect { TaskerCore.fork(source, from: "load", context: 5) }.to raise_error(TaskerCore::InvalidArgument, /context/)
    expect(TaskerCore.list.size).to eq(2)
  end

  it "are found again by their key though the task has grown since" do
    handler("Grow") do |_, _, step|
      step.wait_for("go")
      step.add("one", like: "part")
    end
    TaskerCore.define("growing") do
      step "grow", handler: "Grow"
      step "part", handler: "Load", dynamic: true
    end
    source = TaskerCore.submit("growing")
    fork_id = TaskerCore.fork(source, from: "grow", idempotency_key: "what-if")
    TaskerCore.signal(source, "go")
    working { TaskerCore.wait(source, timeout: 30) }
    expect(TaskerCore.status(source).steps_total).to eq(2)
    expect(TaskerCore.fork(source, from: "grow", idempotency_key: "what-if")).to eq(fork_id)
    expect(TaskerCore.list.size).to eq(2)
  end

  # "split" adds a part for each number of the context before "join".
  def define_splitting
    handler("Split") do |task, _, step|
      task.context["parts"].each { |number| step.add("part_#{number}", like: "part", before: ["join"]) }
    end
    handler("Part") { |_, _, step| step.name }
    handler("Join") { |task, sequence| task.context["parts"].map { |number| sequence.results_of("part_#{number}") } }
    TaskerCore.define("splitting") do
      step "load", handler: "Load"
      step "split", handler: "Split", depends_on: "load"
      step "gate", handler: "Load", depends_on: "split"
      step "part", handler: "Part", dynamic: true
      step "join", handler: "Join", depends_on: "gate"
      step "last", handler: "Load"
    end
  end

  it "of a task that has grown begin where all is executed anew that has added steps, and add what the context says" do
    define_splitting
    source = run("splitting", context: { parts: [1, 2] }).task_id
    fork_id = TaskerCore.fork(source, from: "split", context: { parts: [7, 8, 9] })
    expect(TaskerCore.status(fork_id)).to have_attributes(
      steps_total: 5, steps_by_state: { "complete" => 2, "enqueued" => 1, "pending" => 2 }
    )
    working { TaskerCore.wait(fork_id, timeout: 30) }
    expect(TaskerCore.result(fork_id).steps.to_h { |step| [step.name, step.attempts] }).to eq(
      "load" => 0, "last" => 0, "split" => 1, "gate" => 1, "join" => 1, "part_7" => 1, "part_8" => 1, "part_9" => 1
    )
    expect(TaskerCore.result(fork_id).results_of("join")).to eq(%w[part_7 part_8 part_9])
    %w[gate join].each do |step|
      expect { TaskerCore.fork(source, from: [step, "last"]) }.to raise_error(
        TaskerCore::InvalidArgument,
        /from is \["#{step}","last"\]; allowed: steps from which on each is executed .*, as "split" has/
      )
    end
    expect(TaskerCore.client.doctor["ok"]).to be(true)
  end

  it "of a task with items begin with the map step, or above it" do
    handler("Double") { |_, _, step| step.item * 2 }
    handler("Sum") { |_, sequence| sequence.each_item("each").sum(&:results) }
    TaskerCore.define("mapping") do
      step "load", handler: "Load"
      step "each", handler: "Double", depends_on: "load", map: { over: "context.numbers" }
      step "sum", handler: "Sum", depends_on: "each"
    end
    source = run("mapping", context: { numbers: [1, 2] }).task_id
    forks = %w[each load].map { |step| TaskerCore.fork(source, from: step, context: { numbers: [5, 6, 7] }) }
    working { forks.each { |id| TaskerCore.wait(id, timeout: 30) } }
    expect(forks.map { |id| TaskerCore.result(id).results_of("sum") }).to eq([36, 36])
    expect(forks.map { |id| TaskerCore.result(id).step("load").attempts }).to eq([0, 1])
    expect { TaskerCore.fork(source, from: "sum") }.to raise_error(TaskerCore::InvalidArgument, /as "each" has/)
  end

  it "keep what a decision has taken" do
    handler("Route") { |_, _, step| step.take("air") }
    TaskerCore.define("routes") do
      step "route", handler: "Route", decides: true
      %w[air road].each { |name| step name, handler: "Load", depends_on: "route" }
    end
    source = run("routes").task_id
    fork_id = TaskerCore.fork(source, from: "air")
    expect(TaskerCore.status(fork_id).steps_by_state).to eq("complete" => 1, "enqueued" => 1, "skipped" => 1)
    expect { TaskerCore.fork(source, from: "road") }
      .to raise_error(TaskerCore::InvalidArgument, /"road"; allowed: a step that its parents.* do not leave out/)
    working { TaskerCore.wait(fork_id, timeout: 30) }
    expect(TaskerCore.client.doctor["ok"]).to be(true)
  end

  it "are a command" do
    source = run("order", context: { rate: 1 }).task_id
    made = tasker("fork", source.to_s, "price", "--context", '{"rate": 2}', "--reason", "why not", "--json")
    expect([made.status, made.json["forked_from"]]).to eq([0, source])
    id = made.json["task_id"].to_s
    expect(tasker("status", id).out).to match(/fork of: +#{source} from price/)
    expect(tasker("status", source.to_s).out).to match(/forks: +#{id}/)
    expect(tasker("list").out).to include("(fork of #{source})")
    expect(tasker("fork", source.to_s, "price", "--context", "[]").status).to eq(2)
  end

  it "go on in two worker processes" do
    workflow = File.join(CommandLine::ROOT, "spec/fixtures/branches_workflow.rb")
    load workflow
    forks = in_two_processes(workflow) do
      ids = Array.new(10) { TaskerCore.submit("branches", context: { take: %w[air road], weight: 1 }) }
      ids.each { |id| TaskerCore.wait(id, timeout: 60) }
      forks = ids.map { |id| TaskerCore.fork(id, from: "road") }
      forks.each { |id| TaskerCore.wait(id, timeout: 60) }
    end
    expect(forks.map { |id| TaskerCore.result(id).steps.map(&:attempts) }).to all(eq([0, 0, 1, 0, 1, 1]))
    expect(TaskerCore.client.doctor["ok"]).to be(true)
  end
end
