# frozen_string_literal: true

RSpec.describe "What failed", :database do
  include Workflows
  include CommandLine

  before do
    errors = { "time" => [TaskerCore::PermanentError, "the bank does not answer\nsecond line"],
               "card" => [TaskerCore::BlockedError, "the card was stolen"] }
    handler("Charge") do |task|
      error, message = errors[task.context["how"]]
      raise error, message if error
    end
    handler("Any") { nil }
    TaskerCore.define("payment", namespace: "shop", version: "1.0.0") do
      step "charge", handler: "Charge"
      step "receipt", handler: "Any", depends_on: "charge"
    end
    TaskerCore.define("coupon") { step "send", handler: "Charge", skippable: true }
  end

  # Tasks 1 to 4: in error, blocked, complete, and a skippable step in error.
  def fail_some
    TaskerCore.submit("payment", namespace: "shop", context: { how: "time" }, tags: %w[vip eu])
    TaskerCore.submit("payment", namespace: "shop", context: { how: "card" })
    TaskerCore.submit("payment", namespace: "shop")
    TaskerCore.submit("coupon", context: { how: "time" })
    working { (1..4).each { |id| TaskerCore.wait(id, timeout: 30) } }
  end

  def found(**filter)
    TaskerCore.failures(**filter).map(&:task_id)
  end

  it "is listed with what it failed with and what can be done about it, the newest task first" do
    fail_some
    failures = TaskerCore.failures
    expect(failures.map { |one| [one.task_id, one.step, one.state, one.task_state, one.remedies] }).to eq(
      [[4, "send", "error", "error", %w[retry resolve skip]], [2, "charge", "blocked", "blocked", %w[retry resolve]],
       [1, "charge", "error", "error", %w[retry resolve]]]
    )
    expect(failures.last).to have_attributes(
      namespace: "shop", name: "payment", version: "1.0.0", attempts: 1, cause: "failed_permanently", code: nil,
      error: "TaskerCore::PermanentError", message: "the bank does not answer",
      failed_at: be_within(60).of(Time.now)
    )
    expect(failures).to all(be_frozen)
  end

  it "is found by each of its sides" do
    fail_some
    expect(found(namespace: "shop")).to eq([2, 1])
    expect(found(name: "coupon")).to eq([4])
    expect(found(version: "1.0.0", step: :charge)).to eq([2, 1])
    expect(found(state: "blocked")).to eq([2])
    expect(found(error: TaskerCore::PermanentError)).to eq([4, 1])
    expect(found(message: "card")).to eq([2])
    expect(found(tags: ["vip"])).to eq([1])
    expect(found(task_id: 2)).to eq([2])
    expect(found(since: Time.now - 60).size).to eq(3)
    expect(found(since: Time.now + 60)).to eq([])
    expect(found(until: Time.now + 60).size).to eq(3)
    expect(found(until: Time.now - 60)).to eq([])
  end

  it "is read page by page" do
    fail_some
    first = TaskerCore.failures(limit: 1)
    second = TaskerCore.failures(limit: 2, before: first.last.step_id)
    expect([first, second].map { |page| page.map(&:task_id) }).to eq([[4], [2, 1]])
    expect(found(before: second.last.step_id)).to eq([])
    expect(found(limit: 1, error: "TaskerCore::PermanentError", before: first.last.step_id)).to eq([1])
  end

  it "is nothing that nobody needs any more" do
    fail_some
    TaskerCore.cancel(2)
    TaskerCore.resolve(1, "charge")
    TaskerCore.skip(4, "send")
    expect(found).to eq([])
  end

  it "is counted by what the failures have in common" do
    fail_some
    TaskerCore.submit("payment", namespace: "shop", context: { how: "time" })
    working { TaskerCore.wait(5, timeout: 30) }
    groups = TaskerCore.failure_groups(namespace: "shop")
    expect(groups.map { |group| group.values_at("step", "state", "error", "count", "task_id", "message") }).to eq(
      [["charge", "error", "TaskerCore::PermanentError", 2, 5, "the bank does not answer"],
       ["charge", "blocked", "TaskerCore::BlockedError", 1, 2, "the card was stolen"]]
    )
    expect(groups.first["last_at"]).to be > groups.first["first_at"]
  end

  it "is counted once for all items of a map step, by the name of that" do
    handler("Fails") { raise TaskerCore::PermanentError, "no" }
    TaskerCore.define("items") { step "each", handler: "Fails", map: { over: "[1, 2, 3]", tolerate: 2 } }
    TaskerCore.submit("items")
    working { TaskerCore.wait(1, timeout: 30) }
    expect(TaskerCore.failures.map { |failure| [failure.step, failure.template_step] }.uniq)
      .to eq([%w[each[2] each], %w[each[1] each], %w[each[0] each], %w[each each]])
    expect(TaskerCore.failure_groups.map { |group| group.values_at("step", "error", "count") })
      .to eq([["each", "TaskerCore::PermanentError", 4]])
  end

  it "is refused where a filter can mean nothing" do
    expect { TaskerCore.failures(state: "complete") }.to raise_error(TaskerCore::InvalidArgument, /error, blocked/)
    expect { TaskerCore.failures(limit: 1_001) }.to raise_error(TaskerCore::InvalidArgument, /limit/)
    expect { TaskerCore.failures(since: 5) }.to raise_error(TaskerCore::InvalidArgument, /since.*Time/)
    expect { TaskerCore.failures(stat: "error") }
      .to raise_error(TaskerCore::InvalidArgument, 'unknown option stat; did you mean "state"?')
    expect { TaskerCore.failures(tag: "x") }.to raise_error(TaskerCore::InvalidArgument, /did you mean "tags"/)
    expect { TaskerCore.failures(state: "eror") }
      .to raise_error(TaskerCore::InvalidArgument, 'state is "eror", allowed: error, blocked; did you mean "error"?')
    expect { TaskerCore.failures(name: "\0") }.to raise_error(TaskerCore::InvalidArgument, /name/)
  end

  it "is read with the keys that it was encrypted with, and not passed over without them" do
    TaskerCore.configure { |c| c.encryption_keys = { "k" => ["k" * 32].pack("m0") } }
    fail_some
    expect(found(error: "TaskerCore::PermanentError")).to eq([4, 1])
    TaskerCore.configure { |c| c.encryption_keys = {} }
    expect(TaskerCore.failures.map(&:error).uniq).to eq(["TaskerCore::DecryptionError"])
    expect { found(message: "bank") }.to raise_error(TaskerCore::DecryptionError, /the step "send" of task 4.*"k"/)
  ensure
    TaskerCore.configure { |c| c.encryption_keys = {} }
  end

  it "is a command" do
    fail_some
    shown = tasker("failures", "--since", "1h", "--namespace", "shop")
    expect(shown.status).to eq(0)
    expect(shown.out.lines.map(&:split).first(2)).to match([start_with("TASK", "STEP"), start_with("2", "charge")])
    expect(shown.out).to include("retry resolve", "the card was stolen").and match(/does not answer$/)
    expect(tasker("failures", "--error", "TaskerCore::BlockedError", "--json").json.map { |one|
             one["task_id"]
           }).to eq([2])
    grouped = tasker("failures", "--group", "--json").json
    expect(grouped.map { |group| group["count"] }).to eq([1, 1, 1])
    expect(tasker("failures", "--group").out.lines.first.split).to start_with("COUNT", "TEMPLATE")
    expect(tasker("failures", "--limit", "1").out).to match(/more: --before \d+$/)
    expect(tasker("failures", "--name", "none").out).to eq("no failures\n")
    expect(tasker("failures", "--since", "yesterday")).to have_attributes(status: 2, err: /--since is "yesterday"/)
    expect(tasker("failures", "--group", "--limit", "1")).to have_attributes(status: 2, err: /--limit does not go with/)
  end

  it "says in an explanation what would have it go on" do
    fail_some
    expect(TaskerCore.explain(4)["steps"].first["remedies"]).to eq(%w[retry resolve skip])
    expect(tasker("explain", "2").out.lines.map(&:strip))
      .to include("to have it go on: tasker retry 2 charge | tasker resolve 2 charge --results JSON")
    expect(TaskerCore.explain(3)["steps"]).to eq([])
  end
end
