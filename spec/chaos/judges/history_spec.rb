# frozen_string_literal: true

require_relative "../spoiled_records"

RSpec.describe Chaos::Judges::History do
  extend SpoiledRecords

  retried = ->(record) { record.step("s1").attempts == 2 }

  it_finds("a gap", "chain", /\(s1\): its history has a gap: to in_progress, from waiting/, such: retried) do |record|
    record.step("s1").transitions.delete_at(1)
  end

  it_finds("a gap in the task's", "chain", /task 7: its history has a gap: to waiting, from in_progress/) do |record|
    record.transitions.first.to = "waiting"
  end

  it_finds("a history that begins in the middle", "chain", /\(s0\): its history begins with in_progress/) do |record|
    record.step("s0").transitions.shift
  end

  it_finds("a history that does not end with the state", "chain",
           /\(s0\): its history ends with in_progress, it is complete/) do |record|
    record.step("s0").transitions.pop
  end

  it_finds("a number of attempts that is not that of the history", "chain",
           /\(s0\): its attempts are \[1\], it counts 2/,
           such: ->(record) { record.step("s0").attempts == 1 }) do |record|
    record.step("s0").attempts = 2
  end

  it_finds("an attempt that was counted twice", "chain", /\(s1\): its attempts are \[1, 1\], it counts 2/,
           such: retried) do |record|
    record.step("s1").transitions.last.attempt = 1
  end

  it_finds("a step that was given up too early because of its workers", "chain",
           /\(s7\): 0 workers died, it was given up/) do |record|
    record.step("s7").transitions.last.event = "crashes_exhausted"
  end

  it_finds("a step that was not given up although it killed its workers", "chain",
           /\(s7\): 4 workers died, it was not given up for that/) do |record|
    4.times { SpoiledRecords.change(record.step("s7"), "enqueued", "worker_died", outcome: "worker_died") }
  end

  it_finds("a step that was tried too often", "chain", /\(s7\): 4 attempts failed, it was not given up/) do |record|
    4.times { SpoiledRecords.change(record.step("s7"), "waiting_for_retry", "retry_scheduled", outcome: "retryable") }
  end

  it_finds("a step that was given up too early", "chain", /\(s7\): 0 attempts failed, it was given up/) do |record|
    record.step("s7").transitions.last.event = "retries_exhausted"
  end

  it_finds("a deadline that passed too early", "chain", /its deadline passed 4.500 s too early/) do |record|
    record.deadline = 5.0
    SpoiledRecords.change(record, "cancelled", "deadline_passed").at = 0.5
  end

  it_finds("a deadline of a task that has none", "chain", /its deadline passed, it has none/) do |record|
    SpoiledRecords.change(record, "cancelled", "deadline_passed")
  end

  it_lets("an operator have it tried again, with its failures counted anew", "chain") do |record|
    step = record.step("s7")
    2.times do
      3.times {
        SpoiledRecords.change(step, "enqueued", "worker_died", outcome: "worker_died", attempt: step.attempts += 1)
      }
      step.transitions.last.event = "crashes_exhausted"
      SpoiledRecords.change(step, "enqueued", "retried", actor: "mara")
    end
    SpoiledRecords.change(step, "in_progress", "claimed")
    SpoiledRecords.change(step, "complete", "succeeded", outcome: "succeeded", attempt: step.attempts += 1)
  end
end
