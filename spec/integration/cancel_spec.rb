# frozen_string_literal: true

RSpec.describe "Cancelling a task", :database do
  include Workflows

  before do
    handler("Any") { nil }
    TaskerCore.define("two") do
      step "first", handler: "Any"
      step "second", handler: "Any", depends_on: "first"
    end
  end

  it "ends it and its steps, and says who and why" do
    task_id = TaskerCore.submit("two")
    status = TaskerCore.cancel(task_id, actor: "ada", reason: "customer withdrew")

    expect(status).to have_attributes(task_id: task_id, state: "cancelled", terminal?: true,
                                      steps_by_state: { "cancelled" => 2 })
    expect(TaskerCore.explain(task_id).to_s).to include("ada").and include("customer withdrew")
  end

  it "says of each step what it was doing when its task was cancelled" do
    handler("Naps") { |_, _, step| step.sleep_for(3_600) }
    TaskerCore.define("naps") do
      step "nap", handler: "Naps"
      step "after", handler: "Any", depends_on: "nap"
    end
    task_id = TaskerCore.submit("naps")
    working do
      Waiting.wait_until("it waits", within: 30) { TaskerCore.status(task_id).state == "waiting" }
      expect(TaskerCore.explain(task_id)["summary"]).to include("1 waits for a time or a signal")
    end
    TaskerCore.cancel(task_id, actor: "ada", reason: "withdrawn")
    expect(TaskerCore.explain(task_id)["steps"].map { |step| step["summary"] }).to eq(
      ["its task was cancelled by ada (withdrawn) when it was waiting, after attempt 1",
       "its task was cancelled by ada (withdrawn) before it began"]
    )
  end

  it "names this process where nobody was named" do
    task_id = TaskerCore.submit("two")
    TaskerCore.cancel(task_id)

    expect(TaskerCore.explain(task_id).to_s).to include("process #{Process.pid} on ")
  end

  it "leaves nothing for workers" do
    task_id = TaskerCore.submit("two")
    TaskerCore.cancel(task_id)
    other = TaskerCore.submit("two")
    working { TaskerCore.wait(other, timeout: 30) }

    expect(TaskerCore.result(task_id).steps.map(&:attempts)).to eq([0, 0])
  end

  it "brings the running attempt to nothing" do
    started = Thread::Queue.new
    go = Thread::Queue.new
    define_one { (started << 1) && go.pop && "late" }
    task_id = TaskerCore.submit("one")
    working do
      started.pop
      TaskerCore.cancel(task_id)
      go << true
      other = TaskerCore.submit("two")
      TaskerCore.wait(other, timeout: 30)
    end

    expect(TaskerCore.result(task_id).step("only")).to have_attributes(state: "cancelled", results: nil)
  end

  it "changes nothing the second time" do
    task_id = TaskerCore.submit("two")
    first = TaskerCore.cancel(task_id, actor: "mara", reason: "ordered twice")
    expect(TaskerCore.cancel(task_id, actor: "jo", reason: "once more").to_h).to eq(first.to_h)
    expect(count("tasker_task_transitions WHERE event = 'cancelled'")).to eq(1)
  end

  it "is refused when the task is over" do
    task_id = run("two").task_id

    expect { TaskerCore.cancel(task_id) }.to raise_error(TaskerCore::InvalidTransition, /#{task_id}.*complete/)
    expect(TaskerCore.status(task_id)).to be_complete
  end

  it "is refused for a task that does not exist" do
    expect { TaskerCore.cancel(4_711) }.to raise_error(TaskerCore::NotFound, /4711/)
  end
end
