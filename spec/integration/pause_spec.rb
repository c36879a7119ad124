# frozen_string_literal: true

RSpec.describe "Pausing a task", :database do
  include Workflows
  include CommandLine

  before do
    handler("Any") { |_, _, step| step.name }
    TaskerCore.define("two") do
      step "first", handler: "Any"
      step "second", handler: "Any", depends_on: "first", queue: "other"
    end
  end

  it "keeps its steps from being started until it is resumed" do
    task_id = TaskerCore.submit("two")
    status = TaskerCore.pause(task_id, actor: "ada", reason: "the bank is down")
    expect(status).to have_attributes(state: "paused", terminal?: false)
    expect(TaskerCore.pause(task_id).state).to eq("paused")
    explained = TaskerCore.explain(task_id)
    expect(explained["summary"])
      .to match(/\Apaused by ada \(the bank is down\), .* tasker resume #{task_id} lets it go on/)
    expect(explained["steps"].first["summary"]).to eq("ready, and its task is paused")

    working do
      TaskerCore.wait(TaskerCore.submit("two"), timeout: 30)
      expect(TaskerCore.result(task_id).steps.map(&:attempts)).to eq([0, 0])
      TaskerCore.resume(task_id, actor: "ada")
      expect(TaskerCore.wait(task_id, timeout: 30)).to be_complete
    end
    expect(TaskerCore.explain(task_id)["history"].map { |change| change["cause"] }).to eq(%w[paused resumed completed])
    expect(TaskerCore.client.doctor["ok"]).to be(true)
  end

  it "lets what runs go on to its end, and starts nothing after it" do
    started = Thread::Queue.new
    release = Thread::Queue.new
    handler("Any") { |_, _, step| (started << true) && release.pop && step.name }
    task_id = TaskerCore.submit("two")
    working do
      started.pop
      TaskerCore.pause(task_id)
      release << true
      Waiting.wait_until("the first step is complete", within: 30) do
        TaskerCore.status(task_id).steps_by_state == { "complete" => 1, "enqueued" => 1 }
      end
      expect(TaskerCore.client.doctor["ok"]).to be(true)
      expect(TaskerCore.resume(task_id).state).to eq("in_progress")
      release << true
      expect(TaskerCore.wait(task_id, timeout: 30)).to be_complete
    end
    expect(TaskerCore.result(task_id).results_of("second")).to eq("second")
  end

  it "is in the history after a claim that it waited for" do
    task_id = TaskerCore.submit("two")
    claimed = PG.connect(database_url) do |claimer|
      claimer.exec("BEGIN; SELECT FROM tasker_ready_steps FOR UPDATE")
      pausing = Thread.new { TaskerCore.pause(task_id) }
      Waiting.wait_until("the pause waits", within: 30) do
        sql("SELECT count(*) FROM pg_locks WHERE NOT granted").first["count"].to_i.positive?
      end
      number = claimer.exec("SELECT nextval('tasker_transition_ids')").getvalue(0, 0).to_i
      claimer.exec("COMMIT")
      pausing.join
      number
    end
    expect(sql("SELECT task_transition_id AS id FROM tasker_task_transitions").first["id"].to_i).to be > claimed
  end

  it "is refused for a task that is over, which a resumption does not change either" do
    task_id = run("two").task_id
    expect { TaskerCore.pause(task_id) }.to raise_error(
      TaskerCore::InvalidTransition,
      "task #{task_id} is complete: it cannot be paused; " \
      "allowed: tasks that are pending, in progress, waiting or blocked"
    )
    expect { TaskerCore.resume(task_id) }.to raise_error(
      TaskerCore::InvalidTransition,
      "task #{task_id} is complete: it cannot be resumed; allowed: tasks that have not ended"
    )
    running = TaskerCore.submit("two")
    expect(TaskerCore.resume(running).state).to eq("pending")
    expect { TaskerCore.pause(4_711) }.to raise_error(TaskerCore::NotFound, /4711/)
  end

  it "can be cancelled, steered and listed" do
    ids = Array.new(2) { TaskerCore.submit("two") }
    ids.each { |id| TaskerCore.pause(id) }
    expect(TaskerCore.list(state: "paused").map(&:task_id)).to eq(ids.reverse)
    TaskerCore.resolve(ids[0], "first", results: 1)
    expect(TaskerCore.status(ids[0])).to have_attributes(
      state: "paused", steps_by_state: { "resolved_manually" => 1, "enqueued" => 1 }
    )
    TaskerCore.resolve(ids[0], "second")
    expect(TaskerCore.resume(ids[0]).state).to eq("complete")
    expect(TaskerCore.cancel(ids[1]).state).to eq("cancelled")
    expect(TaskerCore.client.doctor["ok"]).to be(true)
  end

  it "is a command" do
    task_id = TaskerCore.submit("two")
    expect(tasker("pause", task_id.to_s, "--reason", "the bank is down", "--json").json["state"]).to eq("paused")
    expect(tasker("list", "--state", "paused").out).to include("paused")
    expect(tasker("resume", task_id.to_s, "--json").json["state"]).to eq("in_progress")
    expect(tasker("pause", "4711").status).to eq(2)
  end
end
