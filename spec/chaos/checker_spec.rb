# frozen_string_literal: true

require_relative "../../chaos/checker"
require_relative "../../chaos/load"

RSpec.describe Chaos::Checker do
  # How an attempt ends that is tried again, and the last one.
  ends = [%w[waiting_for_retry retry_scheduled retryable], %w[complete succeeded succeeded]]

  # A chain of eight steps, of which the second fails once before it succeeds.
  let(:seed) { (0..).find { |seed| failures(seed) == [0, 1, 0, 0, 0, 0, 0, 0] } }
  let(:record) do
    receipt = Chaos::Load::Receipt.new(7, seed)
    steps = Chaos::Graphs::ALL.fetch("chain").keys.each_with_index.map { |name, index| step(name, index) }
    Chaos::Record.new(id: 7, template: "chain", state: "complete", seed: seed, steps: steps, receipt: receipt)
  end
  let(:first) { record.steps[0] }
  let(:second) { record.steps[1] }

  def failures(seed)
    Chaos::Graphs::ALL.fetch("chain").keys.map do |name|
      behaviour = Chaos::Behaviour.of(seed, name)
      behaviour.failures if behaviour.kind == :succeeds
    end
  end

  def step(name, index)
    attempts = Chaos::Behaviour.of(seed, name).failures + 1
    Chaos::Record::Step.new(
      id: (7 << 20) + index, name: name, state: "complete", attempts: attempts, results: { "attempt" => attempts },
      transitions: transitions(attempts, index.zero? ? "enqueued" : "pending"),
      executions: (1..attempts).map { |attempt| execution(attempt, attempts, index * 100) }
    )
  end

  define_method(:transitions) do |attempts, first|
    (1..attempts).flat_map do |attempt|
      to, event, outcome = attempt == attempts ? ends.last : ends.first
      [change(attempt == 1 ? first : "waiting_for_retry", "in_progress", "claimed", attempt),
       change("in_progress", to, event, attempt, outcome)]
    end
  end

  def change(from, to, event, attempt, outcome = nil)
    Chaos::Record::Transition.new(from: from, to: to, event: event, attempt: attempt, outcome: outcome)
  end

  def execution(attempt, attempts, offset)
    Chaos::Record::Execution.new(attempt: attempt, pid: 1, started_ns: offset + (attempt * 10),
                                 finished_ns: offset + (attempt * 10) + 5,
                                 outcome: attempt == attempts ? "succeeded" : "retryable")
  end

  def violations
    described_class.new(record).violations
  end

  it "finds nothing where all went well" do
    expect(violations).to eq([])
  end

  it "finds nothing where an attempt was cut off and executed late, beside the one that took its place" do
    first.attempts = 2
    first.results = { "attempt" => 2 }
    first.transitions = [change("enqueued", "in_progress", "claimed", 1),
                         change("in_progress", "enqueued", "worker_died", 1, "worker_died"),
                         change("enqueued", "in_progress", "claimed", 2),
                         change("in_progress", "complete", "succeeded", 2, "succeeded")]
    first.executions = [execution(1, 1, 500), execution(2, 2, 0)]
    expect(violations).to eq([])
  end

  # What is done to the record => what is found.
  { "a task that has not ended" =>
      [-> { record.state = "waiting" }, ["task 7: it has not ended: it is waiting"]],
    "a task that ended otherwise than its handlers decided" =>
      [-> { record.state = "error" }, ["task 7: it is error, not complete"]],
    "a task that nobody cancelled" =>
      [-> { record.state = "cancelled" }, ["task 7: it is cancelled, not complete"]],
    "a task whose cancellation was acknowledged and did not take place" =>
      [-> { record.receipt.cancelled = :acknowledged }, ["task 7: it is complete, not cancelled"]],
    "a step that is missing" =>
      [-> { record.steps.pop }, ["task 7: it has no s7"]],
    "a step that did not run" =>
      [-> { record.steps.last.tap { |one| one.state = "enqueued" } }, [/\(s7\): it is enqueued, not complete/]],
    "a step that was completed twice" =>
      [-> { first.transitions *= 2 }, ["task 7, step 7340032 (s0): it is complete and was completed 2 times"]],
    "a gap in the history" =>
      [-> { second.transitions.delete_at(1) }, [/\(s1\): its history has a gap: to in_progress, from waiting/]],
    "a history that begins in the middle" =>
      [-> { first.transitions.shift }, [/\(s0\): its history begins with in_progress/]],
    "a history that does not end with the state" =>
      [-> { first.transitions.pop }, [/\(s0\): its history ends with in_progress, it is complete/]],
    "a number of attempts that is not that of the history" =>
      [-> { first.attempts = 2 }, [/\(s0\): its attempts are \[1\], it counts 2/]],
    "an attempt that was counted twice" =>
      [-> { second.transitions.last.attempt = 1 }, [/\(s1\): its attempts are \[1, 1\], it counts 2/]],
    "a completed attempt that nobody executed" =>
      [-> { first.executions.clear },
       [/\(s0\): attempt 1 is succeeded; by the ledger it is not/, /\(s1\): attempt 1 began before s0 completed/]],
    "a completed attempt whose handler failed" =>
      [-> { first.executions.first.outcome = "retryable" }, [/attempt 1 is succeeded; by the ledger it is retryable/]],
    "a completed attempt whose handler was cut off" =>
      [-> { first.executions.first.outcome = nil }, [/attempt 1 is succeeded; by the ledger it is cut off/]],
    "results of another attempt than the one that was accepted" =>
      [-> { second.results = { "attempt" => 1 } }, [/\(s1\): attempt 2 completed it, its results are {"attempt"=>1}/]],
    "an execution that the history does not know" =>
      [-> { first.executions << execution(2, 2, 0) }, [/\(s0\): attempt 2 was executed and is not in its history/]],
    "an attempt that was executed twice" =>
      [-> { first.executions *= 2 }, [/\(s0\): attempt 1 was executed 2 times/]],
    "an execution that began before a parent completed" =>
      [-> { second.executions.first.started_ns = 14 }, [/\(s1\): attempt 1 began before s0 completed/]],
    "an outcome that no handler has" =>
      [-> { second.transitions[1].outcome = "timeout" }, [/\(s1\): attempt 1 ended as timeout/]],
    "a step that was given up too early because of its workers" =>
      [-> { record.steps.last.transitions.last.event = "crashes_exhausted" },
       [/\(s7\): 0 workers died, it was given up/]],
    "a step that was not given up although it killed its workers" =>
      [-> { record.steps.last.transitions += Array.new(4) { change("in_progress", "x", "x", 1, "worker_died") } },
       [/\(s7\): 4 workers died, it was not given up for that/]] }
    .each do |what, (spoil, messages)|
    it "finds #{what}" do
      instance_exec(&spoil)
      messages.each { |message| expect(violations).to include(message) }
    end
  end

  it "finds a task that was acknowledged and is not there" do
    receipts = [7, 8].map { |id| Chaos::Load::Receipt.new(id, 1) }
    expect(described_class.lost(receipts, [7])).to eq(["task 8: it was acknowledged and is not there"])
  end

  it "lets a task with a deadline be cancelled, also one that was not acknowledged" do
    record.deadline = true
    record.receipt = nil
    record.state = "cancelled"
    expect(violations).to eq([])
  end

  it "lets a task be cancelled or not where the answer did not come" do
    record.receipt.cancelled = :unsure
    expect(violations).to eq([])
  end
end
