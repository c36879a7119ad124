# frozen_string_literal: true

require_relative "../spoiled_records"

RSpec.describe Chaos::Judges::Additions do
  extend SpoiledRecords

  three = ->(record) { record.steps.count { |step| step.name.start_with?("each[") } == 3 }

  it_finds("a step that was added twice", "grown", /it has part_0 2 times/,
           such: ->(record) { record.step("part_0") }) do |record|
    record.steps << record.step("part_0").dup
  end

  it_finds("a step that nobody added", "grown", /it has part_9, and nobody added it/) do |record|
    record.steps << record.step("split").dup.tap { |step| step.name = "part_9" }
  end

  it_finds("a step that an attempt added which failed", "grown", /it has part_0, and nobody added it/,
           such: ->(record) { record.step("part_0") }) do |record|
    record.step("split").transitions.last.event = "retry_scheduled"
  end

  it_finds("a list that was done before its items", "mapped", /\(each\): its items were done before each\[2\] was/,
           such: three) do |record|
    record.step("each[2]").transitions.last.id = record.step("each").transitions.last.id + 0.5
  end

  it_finds("too many items at a time", "mapped", /\(each\): 3 items ran at a time/, such: three) do |record|
    Chaos::Growth.items(Chaos::Growth.map("each"), record.seed).each_with_index do |name, index|
      record.step(name).transitions.first.id = index
    end
  end

  it_lets("items that have not begun be given up while as many run as may", "mapped", such: three) do |record|
    *running, last = Chaos::Growth.items(Chaos::Growth.map("each"), record.seed).map { |name| record.step(name) }
    running.each_with_index { |step, index| step.transitions.first.id = index }
    SpoiledRecords.change(last, "error", "item_given_up")
    last.transitions.slice!(0..-2)
    last.transitions.first.id = 1.5
  end

  it_finds("a list that was done though too many items had failed", "picked",
           /\(pick\): items_done with 3 in error, 1 may be/,
           such: ->(record) { record.step("pick[2]") && !record.step("pick[3]") }) do |record|
    Chaos::Growth.items(Chaos::Growth.map("pick"), record.seed).each do |name|
      record.step(name).transitions.last.to = "error"
    end
  end
end

RSpec.describe Chaos::Judges::Ends do
  extend SpoiledRecords

  # A list of which more items failed than may.
  given_up = ->(record) { record.step("pick") && record.step("reduced").state == "pending" }

  it "lets a list be given up that too many items of have failed" do
    record = Chaos::Play.of("picked", &given_up)
    expect([record.state, record.step("pick").state]).to eq(%w[error error])
    expect(SpoiledRecords.judged(described_class, record)).to eq([])
  end

  it "finds a list that was done though too many items had failed" do
    record = Chaos::Play.of("picked", &given_up)
    SpoiledRecords.change(record.step("pick"), "complete", "items_done")
    expect(SpoiledRecords.judged(described_class, record)).to include(/\(pick\): it is complete, not error/)
  end

  it_finds("an item that is missing", "mapped", /it has no each\[2\]/,
           such: ->(record) { record.step("each[2]") }) do |record|
    record.steps.reject! { |step| step.name == "each[2]" }
  end

  it "misses no items of a list that is to be made anew" do
    record = Chaos::Play.of("mapped") { |one| one.step("each[2]") }
    again = record.step("listed").transitions.last.dup
    again.event = "rerun"
    again.id = record.steps.flat_map(&:transitions).map(&:id).max + 1
    record.step("listed").transitions << again
    record.steps.reject! { |step| Chaos::Growth.item?(step.name) }
    expect(SpoiledRecords.judged(Chaos::Judges::Ends, record)).not_to include(/it has no/)
  end

  it_finds("a step that was not added", "grown", /it has no part_0/,
           such: ->(record) { record.step("part_0") }) do |record|
    record.steps.reject! { |step| step.name == "part_0" }
  end
end
