# frozen_string_literal: true

require_relative "../spoiled_records"

RSpec.describe Chaos::Judges::Reruns do
  extend SpoiledRecords

  # Has steps executed anew by "mara", who asked for the first of them.
  redo_steps = lambda do |record, *names|
    SpoiledRecords.ask(record, :rerun, step: names.first)
    names.each_with_index do |name, index|
      step = record.step(name)
      step.kept << step.results
      last = record.steps.flat_map(&:transitions).map(&:id).max
      SpoiledRecords.change(step, index.zero? ? "enqueued" : "pending", index.zero? ? "rerun" : "reset",
                            id: last + 1, actor: "mara")
    end
  end

  it_lets("a step be executed anew with those below it", "redone") do |record|
    redo_steps.call(record, "left", "joint", "leaf")
  end

  it_finds("a step below that stays as it was", "redone",
           /\(leaf\): it is complete, and mara had left above it executed anew/) do |record|
    redo_steps.call(record, "left", "joint")
  end

  it_finds("a step elsewhere that is executed anew", "redone",
           /mara had left executed anew, and right/) do |record|
    redo_steps.call(record, "left", "right", "joint", "leaf")
  end

  it_finds("steps that are executed anew without the one that was named", "redone",
           /\(left\): it was not executed anew, those below it were/) do |record|
    redo_steps.call(record, "joint", "leaf")
    record.requests.last.step = "left"
  end

  it_finds("results that were not kept", "redone",
           /\(leaf\): it had returned \[{"attempt"=>1}\] before, what is kept is \[\]/,
           such: ->(record) { record.step("leaf").attempts == 1 }) do |record|
    redo_steps.call(record, "leaf")
    record.step("leaf").kept.clear
  end
end

RSpec.describe Chaos::Judges::Steering do
  extend SpoiledRecords

  it_finds("a step that nobody had executed anew", "redone", /nobody asked for rerun by "mara"/) do |record|
    SpoiledRecords.change(record.step("leaf"), "enqueued", "rerun", actor: "mara")
  end

  it_finds("a step that was executed anew twice for one request", "redone",
           /\(leaf\): what mara asked for took place 2 times/) do |record|
    SpoiledRecords.ask(record, :rerun, step: "leaf", seen: "complete")
    2.times { SpoiledRecords.change(record.step("leaf"), "enqueued", "rerun", actor: "mara") }
  end

  it_finds("a step that was not executed anew though that was acknowledged", "redone",
           /\(leaf\): its rerun by mara was acknowledged, and did not take place/) do |record|
    SpoiledRecords.ask(record, :rerun, step: "leaf", seen: "complete")
  end
end

RSpec.describe Chaos::Judges::Order do
  extend SpoiledRecords

  it_finds("a step that began again before its parents had", "redone",
           /\(leaf\): it started when joint was in_progress/) do |record|
    joint, leaf = record.steps.last(2)
    last = leaf.transitions.last.id
    SpoiledRecords.change(joint, "enqueued", "rerun", id: last + 1, actor: "mara")
    SpoiledRecords.change(leaf, "pending", "reset", id: last + 2, actor: "mara")
    SpoiledRecords.change(joint, "in_progress", "claimed", id: last + 3, attempt: 9)
    SpoiledRecords.change(leaf, "in_progress", "claimed", id: last + 4, attempt: 9)
  end
end
