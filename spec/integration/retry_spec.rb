# frozen_string_literal: true

RSpec.describe "Trying again what failed", :database do
  include Workflows
  include CommandLine

  let(:bank) { { open: false } }

  before do
    state = bank
    handler("Charge") { state[:open] ? "paid" : raise(TaskerCore::PermanentError, "the bank is closed") }
    handler("Any") { nil }
    TaskerCore.define("payment") do
      step "charge", handler: "Charge"
      step "receipt", handler: "Any", depends_on: "charge"
    end
  end

  it "lets a task that ended in error go on, and keeps who asked for it" do
    task_id = run("payment").task_id
    expect(TaskerCore.status(task_id).state).to eq("error")
    bank[:open] = true

    status = TaskerCore.retry(task_id, actor: "ada", reason: "the bank is back")
    expect(status).to have_attributes(state: "in_progress", terminal?: false)
    expect(TaskerCore.explain(task_id)["steps"].first["summary"]).to include("again because an operator asked for it")
    working { TaskerCore.wait(task_id, timeout: 30) }

    result = TaskerCore.result(task_id)
    expect(result.results_of("charge")).to eq("paid")
    expect(result.steps.map(&:attempts)).to eq([2, 1])
    history = TaskerCore.explain(task_id, step: "charge")["steps"].first["history"]
    expect(history.find { |change| change["cause"] == "retried" }["detail"])
      .to eq("actor" => "ada", "reason" => "the bank is back")
  end

  it "tries one step, by its name" do
    task_id = run("payment").task_id
    expect { TaskerCore.retry(task_id, step: "receipt") }
      .to raise_error(TaskerCore::InvalidTransition,
                      "step \"receipt\" of task #{task_id} is pending: it cannot be retried; " \
                      "allowed: steps that are in error, blocked, waiting for retry or waiting")
    expect { TaskerCore.retry(task_id, step: "charg") }
      .to raise_error(TaskerCore::InvalidArgument, /did you mean "charge"/)
    expect(TaskerCore.retry(task_id, step: "charge").state).to eq("in_progress")
    expect(TaskerCore.retry(task_id, step: "charge").steps_by_state).to eq("enqueued" => 1, "pending" => 1)
  end

  describe "while the next attempt is due later" do
    before do
      state = bank
      handler("Lends") { state[:open] ? "lent" : raise("the bank is closed") }
      TaskerCore.define("loan") { step "lend", handler: "Lends", retry_limit: 2, retry: { base_seconds: 300 } }
    end

    # A task whose step has failed as often as it may but once.
    def waiting_task
      TaskerCore.submit("loan").tap do |task_id|
        Waiting.wait_until("it waits", within: 30) { TaskerCore.status(task_id).state == "waiting" }
      end
    end

    [nil, "lend"].each do |step|
      it "tries #{step ? "the step" : "all that failed"} at once, and keeps who asked for it" do
        working do
          task_id = waiting_task
          bank[:open] = true
          TaskerCore.retry(task_id, step: step, actor: "ada", reason: "the bank is back")
          TaskerCore.wait(task_id, timeout: 30)
          expect(TaskerCore.result(task_id).step("lend")).to have_attributes(state: "complete", attempts: 2)
          history = TaskerCore.explain(task_id, step: "lend")["steps"].first["history"]
          expect(history.find { |change| change["cause"] == "retried" })
            .to include("from" => "waiting_for_retry", "detail" => { "actor" => "ada", "reason" => "the bank is back" })
        end
      end
    end

    it "counts the failures anew, as it does for a step in error" do
      working do
        task_id = waiting_task
        TaskerCore.retry(task_id)
        failed = -> { TaskerCore.explain(task_id, step: "lend")["steps"].first["attempts"].to_a.size == 2 }
        Waiting.wait_until("it has failed again", within: 30, &failed)
        expect(waiting_state(task_id)).to eq("waiting")
      end
    end

    def waiting_state(task_id)
      Waiting.wait_until("it rests", within: 30) { TaskerCore.status(task_id).state != "in_progress" }
      TaskerCore.status(task_id).state
    end
  end

  it "is refused of a step that is delayed, and says when that begins" do
    TaskerCore.define("later") { step "only", handler: "Any", delay: 300 }
    task_id = TaskerCore.submit("later")
    expect { TaskerCore.retry(task_id, step: "only") }.to raise_error(
      TaskerCore::InvalidTransition,
      /\Astep "only" of task #{task_id} is enqueued: it cannot be retried; .* is delayed, and begins at \d{4}-[^ ]*Z\z/
    )
    expect(TaskerCore.retry(task_id).steps_by_state).to eq("enqueued" => 1)
  end

  it "is refused where nothing failed" do
    bank[:open] = true
    task_id = run("payment").task_id
    expect { TaskerCore.retry(task_id) }.to raise_error(
      TaskerCore::InvalidTransition,
      "task #{task_id} is complete: no step of it can be retried; allowed: tasks that are in error or have not ended"
    )
    expect { TaskerCore.retry(4_711) }.to raise_error(TaskerCore::NotFound, /4711/)
  end

  it "tells the subscribers of the process" do
    told = Thread::Queue.new
    task_id = run("payment").task_id
    subscription = TaskerCore.subscribe("step.retried", "task.resumed") { |event| told << event.name }
    working do
      TaskerCore.retry(task_id)
      Waiting.wait_until("both are told", within: 30) { told.size == 2 }
    end
    expect(Array.new(2) { told.pop }).to contain_exactly("step.retried", "task.resumed")
  ensure
    TaskerCore.unsubscribe(subscription)
  end

  it "is a command" do
    task_id = run("payment").task_id
    outcome = tasker("retry", task_id.to_s, "charge", "--reason", "the bank is back", "--json")
    expect(outcome.status).to eq(0)
    expect(outcome.json).to include("task_id" => task_id, "state" => "in_progress")
    expect(tasker("retry", task_id.to_s, "receipt").status).to eq(2)
  end
end
