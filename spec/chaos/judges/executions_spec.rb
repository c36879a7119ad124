# frozen_string_literal: true

require_relative "../spoiled_records"

RSpec.describe Chaos::Judges::Executions do
  extend SpoiledRecords

  left_out = ->(record) { record.steps.any?(&:left_out?) }

  it_finds("a completed attempt that nobody executed", "chain",
           /\(s0\): attempt \d is succeeded; by the ledger it is not there/) do |record|
    record.step("s0").executions.clear
  end

  it_finds("a completed attempt whose handler failed", "chain",
           /attempt \d is succeeded; by the ledger it is retryable/) do |record|
    record.step("s0").executions.last.outcome = "retryable"
  end

  it_finds("a completed attempt whose handler was cut off", "chain",
           /attempt \d is succeeded; by the ledger it is cut off/) do |record|
    record.step("s0").executions.last.outcome = nil
  end

  it_finds("an attempt that waits, whose handler returned", "waiting",
           /attempt 1 is waiting; by the ledger it is succeeded/) do |record|
    record.step("timer").executions.first.outcome = "succeeded"
  end

  it_finds("a failure of an attempt whose handler has not begun", Chaos::Undo::UNDOING,
           /\(undo packed\): attempt 1 is retryable; by the ledger it is not there/,
           such: ->(record) { record.step("undo packed").attempts == 1 }) do |record|
    step = record.step("undo packed")
    last = step.transitions.last
    first = last.dup.tap { |change| change.id -= 0.5 }
    first.to = "waiting_for_retry"
    first.event = "failed"
    first.outcome = "retryable"
    step.transitions.insert(-2, first)
    last.attempt = step.executions.last.attempt = 2
  end

  # As an attempt that would add steps before one that an operator has skipped, or that nobody has.
  refuse = lambda do |record, actor|
    adds, gathers = record.steps.values_at(0, -1)
    adds.transitions.pop
    record.steps.replace([adds, gathers])
    [gathers.transitions, gathers.executions].each(&:clear)
    gathers.state = "pending"
    SpoiledRecords.change(gathers, "skipped", "skipped", id: adds.transitions.last.id + 0.1, actor: actor)
    SpoiledRecords.change(adds, "error", "failed_permanently", attempt: 1, outcome: "permanent",
                                                               id: adds.transitions.last.id + 0.2)
  end
  adds_at_once = ->(record) { record.steps.size > 2 && record.steps.first.attempts == 1 }

  it_lets("steps be refused that would come before one that an operator has skipped", "grown",
          such: adds_at_once) { |record| refuse.call(record, "mara") }

  it_finds("steps that were refused though nothing was in their way", "grown",
           /\(split\): attempt 1 is permanent; by the ledger it is succeeded/,
           such: adds_at_once) { |record| refuse.call(record, nil) }

  given_up = ->(record) { record.steps.any?(&:unbegun?) }

  it "lets items of a list that is given up be failed without an attempt, and no others", :aggregate_failures do
    record = Chaos::Play.of("picked", &given_up)
    expect(SpoiledRecords.judged(described_class, record)).to eq([])
    failed = record.steps.select { |step| step.state == "error" && step.executions.any? }
    failed.drop(1).each { |step| step.transitions.last.to = "blocked" }
    told = /\(pick\[\d\]\): it was given up, and was to be executed/
    expect(SpoiledRecords.judged(described_class, record)).to include(told)
    retried = Chaos::Play.of("picked", &given_up)
    retried.steps.find(&:unbegun?).transitions.first.event = "retried"
    expect(SpoiledRecords.judged(described_class, retried)).to include(told)
  end

  it_finds("results of another attempt than the one that was accepted", "chain",
           /\(s0\): attempt 1 completed it, its results are {"attempt"=>2}/,
           such: ->(record) { record.step("s0").attempts == 1 }) do |record|
    record.step("s0").results = { "attempt" => 2 }
  end

  it_finds("branches that the handler did not take", "routed",
           /\(route\): it takes \[.*\], by the history \["b7"\]/) do |record|
    record.step("route").transitions.last.detail = { "took" => ["b7"] }
  end

  it_finds("an execution that the history does not know", "chain",
           /\(s0\): attempt 9 was executed and is not in its history/) do |record|
    record.step("s0").executions << record.step("s0").executions.first.dup.tap { |execution| execution.attempt = 9 }
  end

  it_finds("an attempt that was executed twice", "chain", /\(s0\): attempt 1 was executed 2 times/) do |record|
    record.step("s0").executions *= 2
  end

  it_finds("an outcome that no handler has", "chain", /\(s0\): attempt \d ended as timeout/) do |record|
    record.step("s0").transitions.last.outcome = "timeout"
  end

  it_lets("an attempt of a step be cut off whose time was over", "timed") do |record|
    SpoiledRecords.change(record.step("works"), "error", "timed_out", outcome: "timeout", attempt: 9)
  end

  it_finds("a step that was left out for its condition, and executed", "routed",
           /it was left out for its condition, and executed/, such: left_out) do |record|
    record.steps.find(&:left_out?).executions << record.step("route").executions.last
  end

  it_finds("a step that was left out although its condition is met", "routed",
           /\(checked\): its condition is met, it was left out/,
           such: ->(record) { record.step("checked").executions.any? }) do |record|
    record.step("checked").executions.clear
    record.step("checked").transitions.replace([record.step("checked").transitions.first])
    record.step("checked").transitions.first.event = "condition_unmet"
  end

  it_finds("a step that was executed although its condition is not met", "routed",
           /\(checked\): its condition is not met, it was executed/,
           such: ->(record) { record.step("checked").executions.any? }) do |record|
    record.step("merge").results = { "attempt" => 2 }
  end

  doubtful = lambda do |wanted, record|
    met = Chaos::Branches.met?(record.seed, "doubtful", {})
    met == wanted && Chaos::Behaviour.of(record.seed, "doubtful").state == "complete"
  end

  it "lets a step fail without an execution whose condition cannot be told, by that reason only" do
    record = Chaos::Play.of("routed", &doubtful.curry[nil])
    expect(SpoiledRecords.judged(described_class, record)).to eq([])
    record.step("doubtful").transitions.last.error = "RuntimeError"
    expect(SpoiledRecords.judged(described_class, record))
      .to include(/\(doubtful\): attempt 1 is permanent; by the ledger it is not there/)
  end

  it "finds a step that was executed, or left out, although its condition cannot be told" do
    record = Chaos::Play.of("routed", &doubtful.curry[nil])
    record.step("doubtful").executions << record.step("route").executions.last
    expect(SpoiledRecords.judged(described_class, record))
      .to include(/\(doubtful\): its condition cannot be told, it was executed/)
    record.step("doubtful").transitions.last.event = "condition_unmet"
    expect(SpoiledRecords.judged(described_class, record))
      .to include(/\(doubtful\): its condition cannot be told, it was left out/)
  end

  it_finds("a step that failed for its condition although that can be told", "routed",
           /\(doubtful\): attempt 1 is permanent; by the ledger it is not there/,
           such: ->(record) { record.step("doubtful").attempts == 1 }) do |record|
    step = record.step("doubtful")
    step.executions.clear
    last = step.transitions.last
    last.to = step.state = "error"
    last.outcome = "permanent"
    last.error = described_class::UNTOLD
  end

  it_lets("an attempt that was cut off be executed late, beside the one that took its place", "chain") do |record|
    step = record.step("s0")
    SpoiledRecords.change(step, "enqueued", "worker_died", outcome: "worker_died", attempt: 8)
    step.executions << Chaos::Record::Execution.new(attempt: 8, pid: 2, started_ns: 1, finished_ns: 2,
                                                    outcome: "succeeded", product: { "attempt" => 8 })
  end
end
