# frozen_string_literal: true

RSpec.describe "An explanation", :database do
  include CommandLine
  include Workflows

  def summary(task_id, step = "only")
    TaskerCore.explain(task_id, step: step)["steps"].first["summary"]
  end

  def wait_for_state(task_id, state)
    wait_until("the step is #{state}") { TaskerCore.result(task_id).step("only").state == state }
  end

  # Yields once a worker with one thread executes the step, and lets its handler go on afterwards.
  def busy(**options)
    gate = Queue.new
    define_one(**options) { gate.pop }
    task_id = TaskerCore.submit("one")
    working(concurrency: 1) do |worker|
      wait_for_state(task_id, "in_progress")
      yield task_id, worker
      gate << nil
    ensure
      gate.close
    end
  end

  it "says that all threads are busy of the workers that serve the queue" do
    busy do |first, _|
      waits = TaskerCore.submit("one")
      expect(summary(waits)).to match(/; 1 live worker serves the queue "default", and its thread is busy\z/)
      expect(summary(first)).to match(/\Aattempt 1 runs on worker \d+ \(.*\) since \S+ \([^)]* ago\)\z/)
    end
  end

  it "does not count workers that drain among those that serve a queue" do
    busy do |_, worker|
      waits = TaskerCore.submit("one")
      worker.stop
      wait_until("it drains") { TaskerCore.client.workers.first["state"] == "draining" }
      expect(summary(waits)).to match(/; no live worker serves the queue "default"; start one: /)
    end
  end

  it "says by when an attempt is ended that has a timeout" do
    busy(timeout: 600) do |task_id, _|
      expect(summary(task_id)).to match(
        /; it is ended 10 min after its handler began: at \S+Z \(in (10|9) min\) or later\z/
      )
    end
  end

  it "says of a step between two attempts that its task is paused" do
    define_one(retry: { backoff: "fixed", base_seconds: 3_000, max_seconds: 3_000, jitter: 0.0 }) { raise "no route" }
    task_id = TaskerCore.submit("one")
    working { wait_for_state(task_id, "waiting_for_retry") }
    expect(summary(task_id)).to match(/; the next may start at \S+ \(in 50 min\)\z/)
    TaskerCore.pause(task_id, actor: "mo")
    expect(summary(task_id)).to match(/; the next is due at \S+ \(in 50 min\), and its task is paused\z/)
  end

  it "names signals that no step waits for, and who sent them, until the task has ended" do
    define_one { |_, _, step| step.wait_for("approved") }
    task_id = TaskerCore.submit("one")
    working do
      wait_for_state(task_id, "waiting")
      TaskerCore.signal(task_id, "aproved", nil, actor: "mara")
      expect(TaskerCore.explain(task_id)).to include(
        "summary" => match(/; no step waits for, or was given, the signal "aproved" \(sent by mara, .* ago\)\)\z/),
        "signals" => [include("name" => "aproved", "actor" => "mara", "sent_at" => match(/\A\d{4}-/))]
      )
      TaskerCore.signal(task_id, "go", nil, actor: "ada")
      expect(TaskerCore.explain(task_id)["summary"])
        .to match(/; no step waits for, or was given, the signals "aproved" \(sent by mara, .*\), "go" \(sent by ada, /)
      TaskerCore.signal(task_id, "approved")
      TaskerCore.wait(task_id, timeout: Workflows::PATIENCE_SECONDS)
    end
    expect(TaskerCore.explain(task_id)).to include("summary" => match(/\Aall 1 steps are complete/), "signals" => [])
  end

  it "does not name signals that a handler was given, at once or before it waits for another" do
    define_one { |_, _, step| step.wait_for("paid") && step.signal("noted") && step.wait_for("go") }
    task_id = TaskerCore.submit("one")
    %w[paid noted late].each { |name| TaskerCore.signal(task_id, name, { by: name }) }
    working do
      wait_for_state(task_id, "waiting")
      expect(TaskerCore.explain(task_id)["signals"].map { |signal| signal["name"] }).to eq(["late"])
      TaskerCore.signal(task_id, "paid")
      expect(TaskerCore.explain(task_id)["signals"].size).to eq(1)
      TaskerCore.signal(task_id, "go")
      expect(TaskerCore.wait(task_id, timeout: Workflows::PATIENCE_SECONDS)).to be_complete
    end
  end

  describe "of a step that waits for approval" do
    before { TaskerCore.define("purchase") { step "only", handler: TaskerCore::StepHandler::Approval } }

    def waiting_for_approval
      task_id = TaskerCore.submit("purchase")
      working do
        wait_for_state(task_id, "waiting")
        yield task_id
        TaskerCore.wait(task_id, timeout: Workflows::PATIENCE_SECONDS)
      end
      TaskerCore.result(task_id).step("only")
    end

    it "says how it is approved, with commands that do it" do
      step = waiting_for_approval do |task_id|
        explained = TaskerCore.explain(task_id)["steps"].first
        expect(explained["summary"]).to match(/\Awaits for approval, since \S+ \([^)]* ago\)\z/)
        expect(explained["remedies"]).to eq(%w[approve reject])
        expect(tasker("explain", task_id.to_s).out).to include(
          "  to have it go on: tasker approve #{task_id} only | tasker reject #{task_id} only\n"
        )
        told = tasker("approve", task_id.to_s, "only", "--by", "mara", "--comment", "within budget")
        expect([told.status, told.out]).to eq([0, "mara approved only of task #{task_id}\n"])
      end
      expect(step.results).to include("approved" => true, "by" => "mara", "comment" => "within budget")
    end

    it "ends in error where it is rejected, and a second decision is refused" do
      step = waiting_for_approval do |task_id|
        told = tasker("reject", task_id.to_s, "only", "--by", "mara", "--json")
        expect(told.json).to include("task_id" => task_id, "step" => "only", "by" => "mara")
        again = tasker("approve", task_id.to_s, "only")
        expect([again.status, again.err]).to match([2, /was decided by mara/])
      end
      expect(step.error["code"]).to eq("REJECTED")
    end

    it "takes decisions about kinds of approvals that are loaded, before they wait" do
      file = File.join(Dir.mktmpdir, "approvals.rb")
      File.write(file, "class ManagerApproval < TaskerCore::StepHandler::Approval; end\n")
      stub_const("ManagerApproval", Class.new(TaskerCore::StepHandler::Approval))
      TaskerCore.define("managed") { step "sign", handler: "ManagerApproval" }
      task_id = TaskerCore.submit("managed")
      expect(tasker("approve", task_id.to_s, "sgn").err).to include('did you mean "sign"')
      expect(tasker("approve", task_id.to_s, "sign", "-r", "no/such.rb").err).to include("no such file")
      expect(tasker("approve", task_id.to_s, "sign", "--by", "ada").err).to include("that this process has loaded")
      expect(tasker("approve", task_id.to_s, "sign", "--by", "ada", "-r", file).status).to eq(0)
      working { TaskerCore.wait(task_id, timeout: Workflows::PATIENCE_SECONDS) }
      expect(TaskerCore.result(task_id).results_of("sign")).to include("by" => "ada")
    ensure
      FileUtils.rm_rf(File.dirname(file)) if file
    end
  end

  it "is given of the example with an approval" do
    load File.expand_path("../../examples/purchase/tasker.rb", __dir__)
    task_id = TaskerCore.submit("purchase", context: { item: "chair", price_cents: 12_900 })
    expect(tasker("approve", task_id.to_s, "manager_approval", "--by", "mara").status).to eq(0)
    working { TaskerCore.wait(task_id, timeout: Workflows::PATIENCE_SECONDS) }
    expect(TaskerCore.result(task_id).results_of("place_order")).to include("item" => "chair", "approved_by" => "mara")
  end
end
