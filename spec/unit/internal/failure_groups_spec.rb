# frozen_string_literal: true

require "tasker_core"

RSpec.describe TaskerCore::Internal::FailureGroups do
  def failure(task_id, minute, **more)
    common = { namespace: "default", name: "order", version: "1.0.0", step: "charge[#{task_id}]",
               template_step: "charge", state: "error", error: "A" }
    attributes = common.merge(task_id: task_id, message: "message #{task_id}",
                              failed_at: format("2026-01-01T00:%02d:00Z", minute), **more)
    TaskerCore::StepFailure.new(attributes.transform_keys(&:to_s))
  end

  it "counts what has everything in common, the largest group first" do
    groups = described_class.of([failure(4, 1), failure(3, 5, error: nil), failure(2, 9), failure(1, 3)])
    expect(groups.map { |group| group.values_at("error", "count") }).to eq([["A", 3], [nil, 1]])
    expect(groups.map { |group| group["step"] }.uniq).to eq(["charge"])
    expect(groups.first).to include("task_id" => 2, "message" => "message 2", "first_at" => Time.utc(2026, 1, 1, 0, 1),
                                    "last_at" => Time.utc(2026, 1, 1, 0, 9))
  end

  it "keeps groups apart that differ in one thing" do
    others = [{ namespace: "x" }, { name: "x" }, { version: "2.0.0" }, { template_step: "x" }, { state: "blocked" },
              { error: "B" }]
    expect(described_class.of([failure(1, 1), *others.map { |other| failure(1, 1, **other) }]).size).to eq(7)
  end

  it "is nothing where nothing failed" do
    expect(described_class.of([])).to eq([])
  end
end
