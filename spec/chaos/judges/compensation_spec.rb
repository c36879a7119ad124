# frozen_string_literal: true

require_relative "../spoiled_records"

RSpec.describe Chaos::Judges::Compensation do
  extend SpoiledRecords

  it_finds("a task that failed and is not undone", "undoable", /task 7: it is error, and not undone/) do |record|
    record.state = "error"
  end

  it_finds("a task that is undone and completed", "undoable",
           /there is nothing to undo, it is undone by task 8/) do |record|
    record.undone_by = [8]
  end

  it_finds("a task that is undone twice", "undoable", /it is undone by tasks 8, 9/) { |record|
    record.undone_by = [8, 9]
  }

  it_lets("a task without anything to undo fail", "undoable") do |record|
    record.state = "error"
    record.steps.each { |step| step.state = "pending" }
  end
end

RSpec.describe Chaos::Judges::Executions do
  extend SpoiledRecords

  it_finds("a step that is undone and was not complete", "undoable (compensation)",
           /\(undo packed\): its condition is not met, it was executed/) do |record|
    record.original = record.original.merge("packed" => "error")
  end
end

RSpec.describe Chaos::Judges::Order do
  extend SpoiledRecords

  it_finds("a step that is undone before a later one", "undoable (compensation)",
           /\(undo paid\): attempt 1 began before undo packed completed/) do |record|
    record.step("undo paid").executions.first.started_ns = 1
  end
end
