# frozen_string_literal: true

require_relative "../spoiled_records"

RSpec.describe Chaos::Judges::Checkpoints do
  extend SpoiledRecords

  retried = ->(record) { record.step("batch0").attempts == 2 }

  it_finds("a checkpoint that was lost", "batched", /\(batch0\): attempt 2 went on at 11, checkpoint 12 had been kept/,
           such: retried) do |record|
    record.step("batch0").executions.last.product["from"] = 11
  end

  it_finds("a checkpoint that nobody made", "batched",
           /\(batch0\): attempt 2 went on at 13, checkpoint 12 was the last/,
           such: retried) do |record|
    record.step("batch0").executions.last.product["from"] = 13
  end

  it_lets("an attempt go on at a checkpoint that was not answered", "batched", such: retried) do |record|
    record.step("batch0").executions.first.product["kept"] = 3
    record.step("batch0").executions.last.product["from"] = 12
  end

  # Its process stood still when it was about to look.
  looked_late = lambda do |record|
    first, second = record.step("batch0").executions
    first.product = second.product.merge("from" => 12)
    second.product = second.product.merge("from" => 0, "tried" => 12, "kept" => 12)
  end

  it_lets("a handler look late whose attempt others have ended", "batched", such: retried) do |record|
    record.step("batch0").ends.first.outcome = "worker_died"
    looked_late.call(record)
  end

  it_finds("a checkpoint of a later attempt", "batched", /attempt 1 went on at 12, checkpoint 0 was the last/,
           such: retried, &looked_late)
end

RSpec.describe Chaos::Judges::History do
  extend SpoiledRecords

  it_finds("a step with checkpoints that was given up too early", "batched",
           /\(batch0\): 0 workers died, it was given up for that/) do |record|
    record.step("batch0").transitions.last.event = "crashes_exhausted"
  end
end
