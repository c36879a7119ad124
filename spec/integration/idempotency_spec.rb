# frozen_string_literal: true

RSpec.describe "Submitting a task again", :database do
  include Workflows
  include CommandLine

  fixtures = File.expand_path("../fixtures/workflows.rb", __dir__)

  before do
    handler("Any") { nil }
    TaskerCore.define("order") { step "only", handler: "Any" }
  end

  def state_of(task_id)
    TaskerCore.status(task_id).state
  end

  it "returns the task that there is, and tells the block" do
    seen = []
    ids = Array.new(3) { TaskerCore.submit("order", idempotency_key: "order-17") { |id| seen << id } }

    expect([ids.uniq.size, count("tasker_tasks")]).to eq([1, 1])
    expect(seen).to eq(ids.last(2))
  end

  it "does not call the block of a submit without an identity" do
    expect { |block| TaskerCore.submit("order", &block) }.not_to yield_control
  end

  it "makes one task for several processes that submit at once" do
    pids = Array.new(2) do
      fork do
        40.times { |number| TaskerCore.submit("order", idempotency_key: "order-#{number}") }
        TaskerCore.client.close
        exit!(0)
      end
    end

    expect(pids.map { |pid| Process.wait2(pid).last }).to all(be_success)
    expect(count("tasker_tasks")).to eq(40)
  end

  it "makes one task for threads that submit at once" do
    ids = Array.new(8) { Thread.new { TaskerCore.submit("order", context: { id: 7 }, unique: true) } }.map(&:value)

    expect([ids.uniq.size, count("tasker_tasks")]).to eq([1, 1])
  end

  it "knows a context by what it says" do
    first = TaskerCore.submit("order", context: { a: 1, b: [1, 2] }, unique: true)

    expect(TaskerCore.submit("order", context: { "b" => [1.0, 2], "a" => 1 }, unique: true)).to eq(first)
    expect(TaskerCore.submit("order", context: { a: 1, b: [2, 1] }, unique: true)).not_to eq(first)
  end

  it "raises where that is asked for" do
    task_id = TaskerCore.submit("order", idempotency_key: "order-17", on_duplicate: :raise)

    expect { TaskerCore.submit("order", idempotency_key: "order-17", on_duplicate: :raise) }
      .to raise_error(TaskerCore::DuplicateTask, /"order-17" already: task #{task_id}, which is pending/) { |error|
        expect(error.details).to eq("idempotency_key" => "order-17", "task_id" => task_id, "state" => "pending")
        expect(error.retryable?).to be(false)
      }
    expect(count("tasker_tasks")).to eq(1)
  end

  it "makes another task when the window is over" do
    first = TaskerCore.submit("order", idempotency_key: "order-17", unique_for: 3600)
    sql("UPDATE tasker_task_identities SET expires_at = expires_at - interval '1 h'")
    second = TaskerCore.submit("order", idempotency_key: "order-17", unique_for: 3600)

    expect(second).not_to eq(first)
    expect(TaskerCore.submit("order", idempotency_key: "order-17")).to eq(second)
  end

  it "returns a task that has ended, until it is pruned" do
    first = run("order", idempotency_key: "order-17").task_id
    again = -> { TaskerCore.submit("order", idempotency_key: "order-17") }
    expect(state_of(again.call)).to eq("complete")
    TaskerCore.prune(older_than: 0)

    expect(again.call).not_to eq(first)
  end

  {
    { idempotency_key: "a", unique: true } => /\Aunique is true, allowed: only without idempotency_key/,
    { unique_for: 5 } => /\Aunique_for is 5, allowed: only with/, { idempotency_key: "" } => /\Aidempotency_key is ""/
  }.each do |given, message|
    it "writes nothing when it refuses #{given}" do
      expect { TaskerCore.submit("order", **given) }.to raise_error(TaskerCore::InvalidArgument, message)
      expect([count("tasker_tasks"), count("tasker_named_tasks")]).to eq([0, 0])
    end
  end

  it "is for one task at a time" do
    expect { TaskerCore.submit_all("order", contexts: [{}, {}], unique: true) }
      .to raise_error(TaskerCore::InvalidArgument, /\Acontexts\.size is 2, allowed: 1, with idempotency_key/)
  end

  describe "from the command line" do
    define_method(:submit) do |*options|
      tasker("submit", "echo", "-r", fixtures, *options)
    end

    it "says that the task was submitted before" do
      outcomes = Array.new(2) { submit("--idempotency-key", "order-17", "--unique-for", "60") }
      expect(outcomes.map(&:out)).to eq(["task 1 submitted\n", "task 1 was submitted before\n"])
      expect(submit("--idempotency-key", "order-17", "--json").json).to eq("task_id" => 1, "existing" => true)
      expect(submit("--unique", "--json").json["existing"]).to be(false)
    end

    it "refuses a duplicate where that is asked for" do
      submit("--unique", "--on-duplicate", "raise")
      outcome = submit("--unique", "--on-duplicate", "raise")

      expect([outcome.status, outcome.err])
        .to eq([2, "tasker: there is a task with this context already: task 1, which is pending\n"])
      expect(submit("--unique", "--on-duplicate", "ignore").err).to match(/invalid argument: --on-duplicate ignore/)
      expect(submit("--on-duplicate", "raise").err).to match(/on_duplicate is "raise", allowed: only with/)
    end

    it "waits for the task that there is" do
      submit("--idempotency-key", "order-17")
      outcome = submit("--idempotency-key", "order-17", "--wait", "--timeout", "0")
      json = submit("--idempotency-key", "order-17", "--wait", "--timeout", "0", "--json").json

      expect(outcome.err).to match(/\Atasker: task 1 was submitted before\n/)
      expect(json).to include("task_id" => 1, "existing" => true)
    end
  end
end
