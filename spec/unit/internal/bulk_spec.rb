# frozen_string_literal: true

require "tasker_core"

RSpec.describe TaskerCore::Internal::Bulk do
  # A clock that goes on by what is waited for.
  let(:time) { { now: 0.0, waits: [] } }
  let(:clock) { -> { time[:now] } }
  let(:pause) { ->(seconds) { (time[:waits] << seconds) && time[:now] += seconds } }
  let(:targets) { (1..3).map { |id| described_class::Target.new(task_id: id, step: "a") } }

  def bulk(**options, &progress)
    described_class.new("retry", clock: clock, pause: pause, **options, &progress)
  end

  it "goes on after a refusal and counts what became of each" do
    errors = { 1 => TaskerCore::InvalidTransition.new("over"), 2 => TaskerCore::InvalidArgument.new("no such step") }
    all = bulk
    all.run(targets) { |target| raise errors[target.task_id] if errors.key?(target.task_id) }
    expect(all.report).to have_attributes(matched: 3, done: 1, gone_on: 1, ok?: false)
    expect(all.report.refused).to eq([{ "task_id" => 2, "step" => "a", "error" => "TaskerCore::InvalidArgument",
                                        "message" => "no such step" }])
  end

  it "stops where none of the others would fare better, and lets bugs through" do
    [TaskerCore::DatabaseUnavailable.new("gone"), NoMethodError.new("bug")].each do |error|
      all = bulk
      expect { all.run(targets) { raise error } }.to raise_error(error.class)
      expect(all.report).to have_attributes(matched: 1, done: 0)
    end
  end

  it "asks for the first at once, and for each further one when it is due" do
    asked = []
    bulk(rate: 2).run(targets) { asked << (time[:now] += 0.125) }
    expect(time[:waits]).to eq([0.375, 0.375])
    expect(asked).to eq([0.125, 0.625, 1.125])
  end

  it "does not wait where it is late already" do
    bulk(rate: 2).run(targets) { time[:now] += 5 }
    expect(time[:waits]).to eq([])
  end

  it "stops after as many as are wanted, not counting those with which it was not done" do
    seen = []
    done = bulk.run(targets, most: 1) do |target|
      seen << target.task_id
      raise TaskerCore::NotFound, "gone" if target.task_id == 1
    end
    expect([seen, done.map(&:task_id)]).to eq([[1, 2], [2]])
  end

  it "reports the progress now and then" do
    reports = []
    bulk { |so_far| reports << so_far.done }.run(targets) { |target| time[:now] += target.task_id == 3 ? 0.2 : 0.01 }
    expect(reports).to eq([1, 3])
  end

  it "changes nothing with dry_run, and remembers the first" do
    many = (1..30).map { |id| described_class::Target.new(task_id: id) }
    all = bulk(dry_run: true)
    all.run(many) { raise "not asked for" }
    expect(all.report).to have_attributes(matched: 30, done: 0, dry_run: true)
    expect(all.report.examples.map { |one| one["task_id"] }).to eq((1..20).to_a)
  end

  it "asks in a dry run that is rehearsed, and says what would be done" do
    errors = { 1 => TaskerCore::InvalidTransition.new("over"), 2 => TaskerCore::InvalidArgument.new("no such step") }
    all = bulk(dry_run: true, rehearsed: true)
    all.run(targets + [described_class::Target.new(task_id: 4)]) do |target|
      raise errors[target.task_id] if errors.key?(target.task_id)

      target.task_id != 4
    end
    expect(all.report).to have_attributes(matched: 4, done: 0, gone_on: 2, doable: 1, ok?: false)
    expect(all.report.refused.map { |one| one["task_id"] }).to eq([2])
    expect(all.report.examples.map { |one| one["task_id"] }).to eq([3])
  end
end
