# frozen_string_literal: true

require_relative "spoiled_records"

RSpec.describe Chaos::Checker do
  Chaos::Graphs::ALL.each_key do |template|
    it "finds nothing where nothing befell a task of the template #{template}" do
      records = (1..100).map { |seed| Chaos::Play.new(template, seed).record }
      records.each { |record| SpoiledRecords.send_signals(record) }
      expect(records.flat_map { |record| described_class.new(record).violations }).to eq([])
    end
  end

  all = described_class::JUDGES
  [[0, all], [2, all - described_class::OF_ALL_STEPS]].each do |retired, judges|
    it "asks #{judges.size} judges where #{retired} steps are retired" do
      record = Chaos::Play.new("chain", 1).record
      record.retired = retired
      described_class::JUDGES.each do |judge|
        allow(judge).to receive(:new).and_return(instance_double(judge, violations: [judge.name]))
      end
      expect(described_class.new(record).violations).to eq(judges.map(&:name))
    end
  end

  it "counts what it finds by kind" do
    found = ["task 7, step 8 (a): it was completed 0 times", "task 9: it was completed 2 times", "tasker doctor: no"]
    expect(described_class.kinds(found)).to eq("it was completed N times" => 2, "tasker doctor: no" => 1)
  end

  it "finds steps that nobody added, of which nothing else is known" do
    record = Chaos::Play.of("grown") { |one| one.state == "complete" && one.step("part_0") }
    record.step("split").transitions.clear
    expect(described_class.new(record).violations).to include("task 7: it has part_0, and nobody added it")
  end

  it "finds a task that was acknowledged and is not there" do
    receipts = [7, 8].map { |id| Chaos::Receipt.new(id, "chain", 1, []) }
    expect(described_class.lost(receipts, [7])).to eq(["task 8: it was acknowledged and is not there"])
  end

  # The key, and the tasks that have it => what is found.
  { [Chaos::Key.new("k", [7, 7], 1), [7]] => [],
    [Chaos::Key.new("k", [], 0), []] => [],
    [Chaos::Key.new("k", [], 0), [7]] => [],
    [Chaos::Key.new("k", [7], 1), [7, 8]] => ["k: it is tasks 7, 8"],
    [Chaos::Key.new("k", [7, 9], 1), [7]] => ["k: it is task 7, told was 7, 9"],
    [Chaos::Key.new("k", [7, 7], 2), [7]] => ["k: 2 submits were told that they made its task"] }
    .each do |(key, ids), found|
    it "finds #{found.inspect} where tasks #{ids} have a key, told was #{key.ids}, and #{key.made} made it" do
      expect(described_class.doubled([key], "k" => ids)).to eq(found)
    end
  end
end
