# frozen_string_literal: true

RSpec.describe "Map steps", :database do
  include CommandLine
  include Workflows

  # A step "list" that gives a list, "square" over it, and "sum".
  def define_squares(map: {}, square: {}, list: ->(task) { task.context["list"] }, &item)
    handler("List") { |task| { "numbers" => list.call(task) } }
    handler("Square", &item || ->(_, _, step) { step.item**2 })
    handler("Sum") do |_, sequence, _|
      sum = sequence.each_item("square", batch: 3).sum { |one| one.results || 0 }
      { "map" => sequence.results_of("square"), "sum" => sum }
    end
    TaskerCore.define("squares") do
      step "list", handler: "List"
      step "square", handler: "Square", depends_on: "list", retry: Workflows::RETRY_AT_ONCE, skippable: true,
                     map: { over: "results.list.numbers", **map }, **square
      step "sum", handler: "Sum", depends_on: "square"
    end
  end

  def counts(items, complete: items, failed: 0, skipped: 0)
    { "items" => items, "complete" => complete, "failed" => failed, "skipped" => skipped }
  end

  def states(result)
    result.steps.to_h { |step| [step.name, step.state] }
  end

  def summary(task_id, step)
    TaskerCore.explain(task_id, step: step)["steps"].first["summary"]
  end

  def settled(task_id, **worker)
    working(**worker) { TaskerCore.wait(task_id, timeout: Workflows::PATIENCE_SECONDS) }
    TaskerCore.result(task_id)
  end

  it "executes its handler for each item, and the next step once with all of them" do
    define_squares
    result = run("squares", context: { list: (1..10).to_a })
    expect(result.results_of("sum")).to eq("map" => counts(10), "sum" => 385)
    expect(result.step("sum").finished_at).to be_between(result.step("sum").started_at, Time.now)
    expect(states(result)).to eq("list" => "complete", "square" => "complete", "sum" => "complete")
    expect(TaskerCore.status(result.task_id).steps_total).to eq(13)
    expect(summary(result.task_id, "square[3]")).to end_with("; item 3 of square")
    expect(sql("SELECT attempts FROM tasker_workflow_steps WHERE named_step_id = (SELECT max(named_step_id) " \
               "FROM tasker_named_steps)").first["attempts"].to_i).to eq(1)
    expect(TaskerCore.client.doctor).to include("ok" => true)
    expect(summary(result.task_id, "square")).to eq("completed with the last of its 10 items, of which 0 failed")
  end

  it "is complete at once with an empty list" do
    define_squares
    result = run("squares", context: { list: [] })
    expect(result.results_of("sum")).to eq("map" => counts(0), "sum" => 0)
    expect(TaskerCore.client.doctor).to include("ok" => true)
  end

  it "has nothing added before its items, which begin when it is their turn" do
    handler("List") { [1, 2] }
    handler("Item") { |_, _, step| step.wait_for("go") }
    handler("Add") do |_, _, step|
      step.wait_for("add")
      step.add("new", like: "part", before: "each[1]")
    end
    TaskerCore.define("turns") do
      step "list", handler: "List"
      step "each", handler: "Item", depends_on: "list", map: { over: "results.list", max_parallel: 1 }
      step "add", handler: "Add"
      step "part", handler: "List", dynamic: true
    end
    task_id = TaskerCore.submit("turns")
    working do
      wait_until("there are items") { TaskerCore.status(task_id).steps_total == 5 }
      TaskerCore.signal(task_id, "add")
      wait_until("it has ended") { TaskerCore.result(task_id).steps.any? { |step| step.state == "error" } }
    end
    expect(TaskerCore.result(task_id).steps.find { |step| step.name == "add" }.error)
      .to include("code" => "INVALID_GROWTH", "message" => /before "each\[1\]", and that is an item of a map step/)
  end

  it "says how far its items were when its task was cancelled" do
    define_squares { |_, _, step| step.item == 1 ? 1 : step.wait_for("go") }
    task_id = TaskerCore.submit("squares", context: { list: [1, 2, 3] })
    working { wait_until("one is left") { TaskerCore.status(task_id).state == "waiting" } }
    TaskerCore.cancel(task_id, actor: "ada")
    expect(summary(task_id, "square"))
      .to eq("its task was cancelled by ada while it waited for its items, of which 1 of 3 are complete")
    expect(summary(task_id, "sum")).to eq("its task was cancelled by ada before it began")
  end

  it "fails where its value is no list" do
    define_squares(list: ->(_) { 7 })
    result = run("squares")
    error = result.steps.find { |step| step.name == "square" }.error
    expect(error).to include("class" => "TaskerCore::ConditionError",
                             "message" => a_string_including("is no list but int"))
  end

  it "tolerates so many failures, and takes skipped items as they are" do
    define_squares(map: { tolerate: 2 }) do |_, _, step|
      step.item > 2 ? raise(TaskerCore::PermanentError, "too large") : step.item
    end
    result = run("squares", context: { list: [1, 2, 3, 4] })
    expect(result.results_of("sum")).to eq("map" => counts(4, complete: 2, failed: 2), "sum" => 3)
    expect(result.state).to eq("complete")
    expect(TaskerCore.client.doctor).to include("ok" => true)
  end

  it "says which items hold the task up, and how many there are" do
    define_squares(square: { retry: { base_seconds: 3_600, max_seconds: 3_600 } }) do |_, _, step|
      raise TaskerCore::BlockedError, "who is that?" if step.item > 3

      raise "once more" if step.item == 3

      step.item
    end
    task_id = TaskerCore.submit("squares", context: { list: (1..10).to_a })
    settled = ->(status) { status.steps_by_state.values_at("blocked", "waiting_for_retry") == [7, 1] }
    working { wait_until("they have failed") { settled.call(TaskerCore.status(task_id)) } }
    named = (3..7).map { |number| "square[#{number}] (blocked)" }.join(", ")
    expect(summary(task_id, "square"))
      .to include("2 of 10 items are complete", "1 waits for its next attempt, 7 need a person; look at #{named} and 2")
  end

  it "says what its items wait for, how many run, and which have not begun" do
    define_squares(map: { max_parallel: 6 }) do |_, _, step|
      case step.item
      when 1, 4 then step.wait_for("go")
      when 2 then step.wait_for(step.name, timeout: 3_600)
      when 3 then step.sleep_for(3_600)
      when 5 then step.poll(every: 3_600, timeout: 7_200) { false }
      else step.item
      end
    end
    task_id = TaskerCore.submit("squares", context: { list: [1, 2, 3, 4, *5..8] })
    settle = ->(status) { status.steps_by_state.values_at("complete", "waiting") == [4, 5] }
    working { wait_until("they wait") { settle.call(TaskerCore.status(task_id)) } }
    told = /0 failed and none may, 5 wait \(square\[0\] for the signal "go"; square\[1\] for approval, at the latest \
until \S+ \(in [^)]+\); square\[2\] until \S+ \(in [^)]+\); square\[3\] for the signal "go"; \
square\[4\] polls: it has looked 1 time, last at \S+ \([^)]+ ago\), and looks \
again at \S+ \(in 60 min\); it gives up at \S+ \(in 120 min\)\)\z/
    expect(summary(task_id, "square")).to match(/\Awaits for its items: 3 of 8 items are complete, #{told.source}/)
    TaskerCore.signal(task_id, "go")
    expect(summary(task_id, "square")).to match(/none may, 2 are ready to go on, 3 wait \(square\[1\] for approval/)
    whole = TaskerCore.explain(task_id)["steps"].find { |step| step["name"] == "square" }["summary"]
    expect(whole.sub(/\([^)]+ ago\)/, "")).to eq(summary(task_id, "square").sub(/\([^)]+ ago\)/, ""))
  end

  it "lists the items that failed by their own names, which are tried again by them" do
    define_squares { |_, _, step| step.item > 2 ? raise(TaskerCore::PermanentError, "too large") : step.item }
    task_id = run("squares", context: { list: (1..4).to_a }).task_id
    failed = TaskerCore.failures(task_id: task_id, step: "square")
    expect(failed.map { |one| [one.step, one.remedies] }.sort)
      .to eq(%w[square square[2] square[3]].map { |step| [step, %w[retry resolve skip]] })
    expect(failed.last).to have_attributes(
      step: "square", code: "MAP_ITEMS_FAILED", cause: "items_failed",
      message: "2 of 4 items failed and none may; the first of them: square[2]"
    )
    expect(TaskerCore.failures(task_id: task_id, step: "square[3]").map(&:step)).to eq(["square[3]"])
    expect(TaskerCore.retry(task_id, step: failed.first.step).steps_by_state).to include("enqueued" => 1)
  end

  it "executes no more items once too many failed, and all of them when they are tried again" do
    begun = Queue.new
    define_squares(map: { max_parallel: 1 }) do |_, _, step|
      begun << step.item
      raise TaskerCore::PermanentError, "no" if step.item == 2 && step.attempt == 1

      step.item
    end
    task_id = TaskerCore.submit("squares", context: { list: [1, 2, 3, 4] })
    result = settled(task_id)
    expect([result.state, Array.new(begun.size) { begun.pop }]).to eq(["error", [1, 2]])
    expect(summary(task_id, "square"))
      .to eq("failed by its items: 1 of 4 items are complete, 3 failed (2 of them without an attempt) and none may; " \
             "look at square[1] (error)")
    expect(summary(task_id, "square[2]")).to start_with(
      "1 item of the map step has failed and none may: it is not executed; have it tried again (code MAP_GIVEN_UP); " \
      "the first that failed: square[1]; item 2 of square"
    )
    expect(TaskerCore.client.doctor).to include("ok" => true)
    TaskerCore.retry(task_id)
    expect(settled(task_id).results_of("sum")).to eq("map" => counts(4), "sum" => 10)
    expect(TaskerCore.client.doctor).to include("ok" => true)
  end

  it "runs no more items at a time than may, and as many" do
    most = 0
    running = Mutex.new
    now = 0
    define_squares(map: { max_parallel: 2 }) do |_, _, step|
      running.synchronize { most = [most, now += 1].max }
      # Long enough for others to begin, if they may.
      sleep 0.01
      running.synchronize { now -= 1 }
      step.item
    end
    task_id = TaskerCore.submit("squares", context: { list: (1..20).to_a })
    expect(settled(task_id, concurrency: 6).results_of("sum")["sum"]).to eq(210)
    expect(most).to eq(2)
    expect(TaskerCore.client.doctor).to include("ok" => true)
  end

  it "cannot be skipped while items wait for their turn, and items can" do
    define_squares(map: { max_parallel: 1 }) do |_, _, step|
      step.item == 1 ? raise(TaskerCore::BlockedError, "wait") : step.item
    end
    task_id = TaskerCore.submit("squares", context: { list: [1, 2, 3] })
    settled(task_id)
    expect(summary(task_id, "square[2]")).to start_with(
      "waits for its turn: 1 item may run at a time; before it: square[0] (blocked)"
    )
    expect(TaskerCore.explain(task_id)["summary"]).to include("1 needs a person")
    expect { TaskerCore.skip(task_id, "square") }
      .to raise_error(TaskerCore::InvalidTransition, /while 2 of its items wait for their turn/)
    TaskerCore.skip(task_id, "square[0]")
    expect(settled(task_id).results_of("sum")).to eq("map" => counts(3, complete: 2, skipped: 1), "sum" => 5)
    expect(summary(task_id, "square"))
      .to eq("completed with the last of its 3 items, of which 0 failed, 1 was skipped")
    expect(TaskerCore.client.doctor).to include("ok" => true)
  end

  it "gives its items in parts" do
    define_squares
    handler("Sum") do |_, sequence, _|
      [sequence.items_of("square", limit: 2), sequence.items_of("square", after: 2, limit: 2)].flatten.map do |item|
        [item.index, item.state, item.item, item.results]
      end
    end
    result = run("squares", context: { list: [5, 6, 7, 8] })
    expect(result.results_of("sum")).to eq([[0, "complete", 5, 25], [1, "complete", 6, 36], [3, "complete", 8, 64]])
  end

  it "gives no more of its items at once than come to 16 MiB, and at least one" do
    define_squares { |_, _, step| "x" * step.item }
    handler("Sum") { |_, sequence, _| sequence.each_item("square").count }
    large = 1_000_000
    task_id = run("squares", context: { list: [large] * 20 }, worker: { max_results_bytes: 2 * large }).task_id
    part = TaskerCore.items(task_id, "square", limit: 10_000)
    expect(part.map(&:index)).to eq([*0..16])
    expect(TaskerCore.items(task_id, "square", after: 16).map(&:index)).to eq([17, 18, 19])
    expect(TaskerCore.items(task_id, "square", after: 18, limit: 5).map { |item| item.results.size }).to eq([large])
    expect(TaskerCore.items(task_id, "square", after: 19)).to eq([])
    expect(TaskerCore.each_item(task_id, "square").map(&:index)).to eq([*0..19])
    expect(TaskerCore.result(task_id).results_of("sum")).to eq(20)
    expect(tasker("result", task_id.to_s, "square", "--items", "--json").out.lines.size).to eq(20)
  end

  it "gives its items, and each of them by its name, to whoever asks" do
    define_squares { |_, _, step| step.item > 7 ? raise("too large") : step.item**2 }
    task_id = run("squares", context: { list: [5, 6, 7, 8] }).task_id
    attributes = [[0, "complete", 1, 5, 25], [1, "complete", 1, 6, 36],
                  [2, "complete", 1, 7, 49], [3, "error", 3, 8, nil]]
    expect(TaskerCore.each_item(task_id, :square, batch: 3).map(&:to_a)).to eq(attributes)
    expect(TaskerCore.items(task_id, "square", after: 0, limit: 2).map(&:to_a)).to eq(attributes[1, 2])
    result = TaskerCore.result(task_id, step: "square[3]")
    expect(result.state).to eq("error")
    expect(result.steps).to contain_exactly(
      having_attributes(name: "square[3]", state: "error", attempts: 3, added_by: "square", depends_on: [],
                        error: include("message" => "too large"))
    )
    expect(TaskerCore.result(task_id, step: "square[1]").results_of("square[1]")).to eq(36)
    expect(TaskerCore.result(task_id, step: "sum").critical_path).to include(names: [])
    gives = %(TaskerCore.result(#{task_id}, step: "square[1]") gives it)
    expect { TaskerCore.result(task_id).results_of("square[1]") }.to raise_error(
      TaskerCore::InvalidArgument, %(task #{task_id} has no step "square[1]" here, as it is an item: #{gives})
    )
  end

  it "has its items read on the command line" do
    define_squares
    task_id = run("squares", context: { list: [5, 6] }).task_id.to_s
    expect(tasker("result", task_id, "square[1]").json).to eq(36)
    lines = tasker("result", task_id, "square", "--items", "--json").out.lines.map { |line| JSON.parse(line) }
    expect(lines).to eq([{ "index" => 0, "state" => "complete", "attempts" => 1, "item" => 5, "results" => 25 },
                         { "index" => 1, "state" => "complete", "attempts" => 1, "item" => 6, "results" => 36 }])
    expect(tasker("result", task_id, "square", "--items").out).to match(/^ +1 +✓ complete +1 +6 +36$/)
    expect(tasker("result", task_id, "--items")).to have_attributes(status: 2, err: /--items needs STEP/)
    expect(tasker("result", task_id, "list", "--items")).to have_attributes(status: 2, err: /allowed: a step with map/)
  end

  it "refuses to give items that there cannot be" do
    define_squares
    task_id = run("squares", context: { list: [5] }).task_id
    { { after: -1 } => /after is -1, allowed: a whole number from 0/,
      { after: 2**70 } => /after is #{2**70}, allowed: a whole number from 0 to 1048576/,
      { limit: 10_001 } => /allowed: a whole number from 1 to 10000/, { limit: 0 } => /limit is 0/,
      { limit: 2**70 } => /limit is #{2**70}/ }.each do |options, message|
      expect { TaskerCore.items(task_id, "square", **options) }.to raise_error(TaskerCore::InvalidArgument, message)
    end
    expect { TaskerCore.result(task_id, step: "square[1]") }
      .to raise_error(TaskerCore::InvalidArgument, /square\[1\]/)
    expect { TaskerCore.items(task_id + 1, "square") }.to raise_error(TaskerCore::NotFound)
  end

  it "gives each item its own time for all attempts, from its turn on" do
    attempts = Queue.new
    define_squares(map: { max_parallel: 1, tolerate: 1 }, square: { total_timeout: 0.5 }) do |_, _, step|
      attempts << step.item_index
      step.item.zero? ? step.wait_for("never") : step.item
    end
    result = run("squares", context: { list: [0, 5, 6] })
    expect(result.results_of("sum")).to eq("map" => counts(3, complete: 2, failed: 1), "sum" => 11)
    expect(Array.new(attempts.size) { attempts.pop }).to eq([0, 1, 2])
    expect(summary(result.task_id, "square[0]")).to start_with("did not end within 0.5 s in all")
    expect(count("tasker_step_deadlines")).to eq(0)
    expect(TaskerCore.client.doctor).to include("ok" => true)
  end

  it "gives an item its time anew when it is tried again, and schedules no attempt beyond it" do
    retries = { backoff: "fixed", base_seconds: 600, max_seconds: 600, jitter: 0.0 }
    define_squares(square: { total_timeout: 60, retry: retries }) do |_, _, step|
      step.attempt == 1 ? raise("no route") : step.item
    end
    task_id = TaskerCore.submit("squares", context: { list: [3] })
    expect(settled(task_id).state).to eq("error")
    expect(summary(task_id, "square[0]")).to include("; the next one would have begun too late")
    TaskerCore.retry(task_id, step: "square[0]")
    expect(TaskerCore.explain(task_id, step: "square[0]")["steps"].first["deadline_at"]).to match(/\A20/)
    expect(settled(task_id).results_of("sum")["sum"]).to eq(3)
    expect(count("tasker_step_deadlines")).to eq(0)
  end

  it "is checked when its template is loaded" do
    { { over: 7 } => /map\.over/, { max_parallel: 0 } => /max_parallel.*an integer from 1/m,
      { tolerate: "some" } => /tolerate.*or all/m, { ovre: "1" } => /ovre.* is not a known key/,
      { over: "results.lst" } => /not a parent/ }.each do |map, message|
      expect { define_squares(map: map) }.to raise_error(TaskerCore::InvalidTemplate, message)
    end
    expect { define_squares(square: { dynamic: true }) }.to raise_error(TaskerCore::InvalidTemplate, /dynamic/)
  end
end
