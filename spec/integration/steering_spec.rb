# frozen_string_literal: true

RSpec.describe "Skipping and resolving steps", :database do
  include Workflows
  include CommandLine

  before do
    handler("Charge") { raise TaskerCore::PermanentError, "the bank is closed" }
    handler("Coupon") { raise TaskerCore::PermanentError, "no coupons left" }
    handler("Receipt") { |_, sequence| sequence.results_of("charge") }
    TaskerCore.define("payment") do
      step "charge", handler: "Charge"
      step "coupon", handler: "Coupon", skippable: true
      step "receipt", handler: "Receipt", depends_on: %w[charge coupon], join: "none_failed"
    end
  end

  it "lets a task that ended in error go on with the results that a person gives" do
    task_id = run("payment").task_id
    expect(TaskerCore.status(task_id).state).to eq("error")

    TaskerCore.resolve(task_id, "charge", results: { paid: "in cash" }, actor: "ada", reason: "at the counter")
    expect(TaskerCore.status(task_id).state).to eq("error")
    status = TaskerCore.skip(task_id, :coupon, actor: "ada")
    expect(status).to have_attributes(state: "in_progress", terminal?: false)
    working { TaskerCore.wait(task_id, timeout: 30) }

    result = TaskerCore.result(task_id)
    expect(result.steps.map(&:state)).to eq(%w[resolved_manually skipped complete])
    expect(result.results_of("receipt")).to eq("paid" => "in cash")
    explained = %w[charge coupon].map { |step| TaskerCore.explain(task_id, step: step)["steps"].first["summary"] }
    expect(explained).to eq(["ada (at the counter) gave its results", "skipped by ada"])
    expect(TaskerCore.client.doctor["ok"]).to be(true)
  end

  it "is done once, however often it is asked for" do
    task_id = TaskerCore.submit("payment")
    [{ a: 1, "b" => 2 }, { "b" => 2, "a" => 1 }].each { |same| TaskerCore.resolve(task_id, "charge", results: same) }
    expect { TaskerCore.resolve(task_id, "charge", results: 7) }.to raise_error(
      TaskerCore::InvalidTransition,
      "step \"charge\" of task #{task_id} is resolved manually: it cannot be resolved; " \
      "allowed: the results that it has, {\"a\":1,\"b\":2}"
    )
    expect(TaskerCore.result(task_id).results_of("charge")).to eq("a" => 1, "b" => 2)
    changes = TaskerCore.explain(task_id, step: "charge")["steps"].first["history"]
    expect(changes.map { |change| change["cause"] }).to eq(["resolved_manually"])
  end

  it "is refused, and changes nothing, where the state or the template does not allow it" do
    task_id = TaskerCore.submit("payment")
    expect { TaskerCore.skip(task_id, "charge") }
      .to raise_error(TaskerCore::InvalidArgument, /"charge".*declares skippable; or resolve it/)
    expect { TaskerCore.skip(task_id, "cupon") }.to raise_error(TaskerCore::InvalidArgument, /did you mean "coupon"/)
    expect { TaskerCore.resolve(task_id, "charge", results: { at: Time.now }) }
      .to raise_error(TaskerCore::InvalidArgument, /results\.at is of class Time/)
    expect { TaskerCore.resolve(task_id, "charge", results: "x" * (2**20)) }
      .to raise_error(TaskerCore::Error, /1048576 are allowed/)
    expect(TaskerCore.status(task_id).steps_by_state).to eq("enqueued" => 2, "pending" => 1)

    TaskerCore.cancel(task_id)
    expect { TaskerCore.skip(task_id, "coupon") }.to raise_error(TaskerCore::InvalidTransition, /cancelled/)
    expect { TaskerCore.resolve(4_711, "charge") }.to raise_error(TaskerCore::NotFound, /4711/)
  end

  it "is refused, as all that names a step, where no step can have the name" do
    task_id = run("payment").task_id
    client = TaskerCore.client
    [->(name) { client.skip(task_id, name) }, ->(name) { client.resolve(task_id, name) },
     ->(name) { client.retry(task_id, step: name) }, ->(name) { client.rerun(task_id, name) },
     ->(name) { client.fork(task_id, from: name) }, ->(name) { client.explain(task_id, step: name) },
     ->(name) { client.artifacts(task_id, step: name) }].each do |call|
      expect { call.call("nul \u0000") }.to raise_error(TaskerCore::InvalidArgument, /nul \\0.*a step of payment/)
    end
  end

  it "brings a running attempt to nothing" do
    started = Thread::Queue.new
    release = Thread::Queue.new
    handler("Charge") { (started << true) && release.pop }
    task_id = TaskerCore.submit("payment")
    working do
      started.pop
      TaskerCore.resolve(task_id, "charge", results: "by hand")
      release << "late"
      TaskerCore.wait(task_id, timeout: 30)
    end
    expect(TaskerCore.result(task_id).results_of("charge")).to eq("by hand")
  end

  it "is a command" do
    task_id = run("payment").task_id
    outcome = tasker("resolve", task_id.to_s, "charge", "--results", "{\"paid\": 1}", "--reason", "by hand", "--json")
    expect([outcome.status, outcome.json["state"]]).to eq([0, "error"])
    expect(tasker("skip", task_id.to_s, "coupon", "--json").json["state"]).to eq("in_progress")
    expect(TaskerCore.result(task_id).results_of("charge")).to eq("paid" => 1)

    refused = tasker("resolve", task_id.to_s, "receipt", "--results", "{")
    expect([refused.status, refused.err]).to match([2, /--results is not JSON/])
    expect(tasker("skip", task_id.to_s, "charge").status).to eq(2)
  end

  it "cancels a task whose template this version cannot read" do
    handler("Unseen") { nil }
    TaskerCore.define("odd") { step "only", handler: "Unseen" }
    task_id = TaskerCore.submit("odd")
    sql("UPDATE tasker_named_tasks SET configuration = '{}' WHERE name = 'odd'")
    expect(tasker("cancel", task_id.to_s, "--json").json).to include("state" => "cancelled")
  end

  it "explains twenty steps, and says how many more there are" do
    handler("Unseen") { nil }
    TaskerCore.define("long") { 25.times { |number| step "s#{number}", handler: "Unseen" } }
    task_id = TaskerCore.submit("long").to_s
    expect(tasker("explain", task_id).out.lines.last)
      .to eq("and 5 steps more that have not completed: tasker explain #{task_id} STEP, tasker failures\n")
    told = tasker("explain", task_id, "--json").json
    expect([told["steps"].size, told["more_steps"]]).to eq([20, 5])
    expect(tasker("explain", task_id, "s3", "--json").json).to include("more_steps" => 0)
  end
end
