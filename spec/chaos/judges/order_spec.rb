# frozen_string_literal: true

require_relative "../spoiled_records"

RSpec.describe Chaos::Judges::Order do
  extend SpoiledRecords

  it_finds("an execution that began before a parent completed", "chain",
           /\(s1\): attempt 1 began before s0 completed/) do |record|
    record.step("s1").executions.first.started_ns = record.step("s0").executions.last.finished_ns - 1
  end

  it_finds("a claim before a parent completed", "chain", /\(s1\): it started when s0 was in_progress/) do |record|
    record.step("s1").transitions.first.id = record.step("s0").transitions.last.id - 0.5
  end

  it_finds("a step that was enqueued before a parent completed", "chain",
           /\(s1\): it started when s0 was in_progress/) do |record|
    left = record.step("s1").transitions.first
    left.to = "enqueued"
    left.id = record.step("s0").transitions.last.id - 0.5
  end

  it_finds("a claim when too few parents of a quorum were complete", "joined",
           /\(quorum\): it started when s0 was in_progress/,
           such: ->(record) { record.steps.none? { |step| step.state == "error" } }) do |record|
    %w[s0 s1].each { |name| record.step(name).transitions.last.id = record.transitions.last.id }
  end

  it_finds("a claim while the task was paused", "chain", /\(s7\): attempt 1 was claimed while the task was paused/,
           such: ->(record) { record.step("s7").attempts == 1 }) do |record|
    id = record.step("s7").transitions.first.id
    record.state = "in_progress"
    SpoiledRecords.change(record, "paused", "paused", id: id - 0.5)
    SpoiledRecords.change(record, "in_progress", "resumed", id: id + 0.5)
  end

  it_lets("a step start that bears failures, whose parent was tried again later", "frail",
          such: ->(record) { record.step("frail0").executions.last.attempt == 1 }) do |record|
    record.steps.reject! { |one| %w[frail1 mended].include?(one.name) }
    parent, step = %w[frail0 tolerant].map { |name| record.step(name) }
    failed = parent.transitions.pop
    parent.state = "in_progress"
    SpoiledRecords.change(parent, "error", "failed_permanently", id: failed.id, attempt: 1, outcome: "permanent")
    SpoiledRecords.change(parent, "complete", "succeeded", id: step.transitions.last.id + 0.5, attempt: 2)
    parent.executions << step.executions.last.dup.tap { |late| late.attempt = 2 }
  end

  it_lets("a step start before others are added before it, by one that an operator had resolved first", "grown",
          such: ->(record) { record.steps.count { |step| step.name.start_with?("part_") } > 1 }) do |record|
    adds, gathers = %w[split gather].map { |name| record.step(name) }
    of_now = [adds, gathers].to_h { |step| [step, step.transitions] }
    of_now.each_key do |step|
      step.transitions = []
      step.state = "pending"
    end
    SpoiledRecords.change(adds, "resolved_manually", "resolved_manually", id: -9)
    SpoiledRecords.change(gathers, "in_progress", "claimed", id: -8, attempt: 9)
    SpoiledRecords.change(gathers, "pending", "rerun", id: -7)
    SpoiledRecords.change(adds, "enqueued", "rerun", id: -6)
    of_now.each { |step, changes| step.transitions.concat(changes) && step.state = "complete" }
  end

  it_lets("a quorum start when one parent has not ended", "joined",
          such: ->(record) { record.steps.none? { |step| step.state == "error" } }) do |record|
    moved = record.step("s3")
    %w[any_complete quorum].each { |name| moved.transitions.last.id = record.step(name).transitions.first.id + 0.5 }
    %w[all_done none_failed].each { |name| record.step(name).transitions.each { |one| one.id += 10_000 } }
    record.step("last").transitions.each { |one| one.id += 20_000 }
  end
end
