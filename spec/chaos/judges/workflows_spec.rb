# frozen_string_literal: true

require_relative "../spoiled_records"

RSpec.describe Chaos::Judges::Workflows do
  extend SpoiledRecords

  it_finds("a task that was made twice for one step", "nested",
           /\(inner0\): it ran tasks 9, 9/) do |record|
    record.children.unshift(record.children.first)
  end

  it_finds("a task of a step that was not executed", "nested",
           /\(inner0\): it runs tasks 9, and no handler asked/) do |record|
    record.step("inner0").executions.clear
  end

  it_finds("results that the task does not have", "nested",
           /\(inner1\): attempt \d was told of the end of a task/) do |record|
    record.children.last.results = { "last" => 1 }
  end

  it_finds("the end of a task that has not completed", "nested",
           /\(inner0\): attempt \d was told of the end/) do |record|
    record.children.first.state = "error"
  end

  it_finds("the failure of a task that the step does not run", "nested",
           /was told of a task that it does not run/) do |record|
    record.step("inner0").executions.last.product = { "workflow_failed" => 77 }
  end

  it_finds("the failure of a task that has completed", "nested",
           /\(inner0\): attempt \d was told that task 9 failed, it is/) do |record|
    step = record.step("inner0")
    step.executions.last.product = { "workflow_failed" => 9 }
    step.transitions.last.outcome = "permanent"
  end
end
