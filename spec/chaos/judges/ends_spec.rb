# frozen_string_literal: true

require_relative "../spoiled_records"

RSpec.describe Chaos::Judges::Ends do
  extend SpoiledRecords

  it_finds("a task that has not ended", "chain", /task 7: it has not ended: it is waiting/) do |record|
    record.state = "waiting"
  end

  it_finds("a task that ended otherwise than its handlers decided", "chain", /it is error, not complete/) do |record|
    record.state = "error"
  end

  it_finds("a task that nobody cancelled", "chain", /it is cancelled, not complete/) do |record|
    record.state = "cancelled"
  end

  it_finds("a task whose cancellation was acknowledged", "chain", /it is complete, not cancelled/) do |record|
    SpoiledRecords.ask(record, :cancel)
  end

  it_finds("a step that is missing", "chain", /task 7: it has no s7/) { |record| record.steps.pop }

  it_finds("a step that did not run", "chain", /\(s7\): it is enqueued, not complete/) do |record|
    record.step("s7").state = "enqueued"
  end

  it_finds("a step that was completed twice", "chain", /\(s0\): it is complete and was completed 2 times/) do |record|
    record.step("s0").transitions *= 2
  end

  it_finds("a branch that was not taken and ran", "routed", /\(b0\): it is complete, not skipped/,
           such: ->(record) { Chaos::Branches.taken(record.seed, "route") == ["b1"] }) do |record|
    record.step("b0").state = "complete"
  end

  it_lets("a task be cancelled or not where the answer did not come", "chain") do |record|
    SpoiledRecords.ask(record, :cancel, :unsure)
  end

  it_lets("a step be missing that was not added again before the task was cancelled", "grown",
          such: ->(record) { record.step("part_0") }) do |record|
    record.retired = record.steps.reject! { |step| step.name.start_with?("part_") }.size
    record.deadline = 1.0
    record.state = "cancelled"
    added = record.step("split")
    SpoiledRecords.change(added, "enqueued", "rerun", actor: "mara")
    SpoiledRecords.change(added, "cancelled", "cancelled")
    added.state = "cancelled"
  end

  it_lets("a task with a deadline be cancelled, also one that was not acknowledged", "chain") do |record|
    record.deadline = 1.0
    record.receipt = nil
    record.state = "cancelled"
  end

  it_lets("a step be skipped by an operator, and what comes after it", "chain") do |record|
    record.steps.each do |step|
      SpoiledRecords.change(step, "skipped", "skipped")
      step.transitions.replace([step.transitions.last])
    end
    record.step("s0").transitions.last.detail["actor"] = "mara"
  end
end
