# frozen_string_literal: true

RSpec.describe TaskerCore::TaskStatus do
  let(:attributes) do
    { "task_id" => 7, "namespace" => "shop", "name" => "order", "version" => "1.0.0", "state" => "in_progress",
      "requested_at" => "2026-01-31T12:00:00.000001Z", "started_at" => "2026-01-31T12:00:01.500000Z",
      "finished_at" => nil, "steps_total" => 5, "steps_by_state" => { "complete" => 3, "enqueued" => 2 }.freeze,
      "attempts_total" => 4, "reason" => nil, "deadline_at" => "2026-02-01T12:00:00.000000Z" }.freeze
  end

  def status(**changes)
    described_class.new(attributes.merge(changes.transform_keys(&:to_s)).freeze)
  end

  it "reads what the native library says" do
    expect(status).to have_attributes(
      task_id: 7, namespace: "shop", name: "order", version: "1.0.0", state: "in_progress", steps_total: 5,
      steps_by_state: { "complete" => 3, "enqueued" => 2 }, attempts_total: 4, reason: nil,
      requested_at: Time.utc(2026, 1, 31, 12, 0, 0, 1), started_at: Time.utc(2026, 1, 31, 12, 0, 1.5), finished_at: nil,
      deadline_at: Time.utc(2026, 2, 1, 12)
    )
  end

  {
    "pending" => [false, false], "in_progress" => [false, false], "waiting" => [false, false],
    "paused" => [false, false], "blocked" => [false, true], "complete" => [true, true], "error" => [true, true],
    "cancelled" => [true, true], "resolved_manually" => [true, true]
  }.each do |state, (terminal, settled)|
    it "#{terminal ? "is" : "is not"} over and #{settled ? "is" : "is not"} settled when #{state}" do
      expect(status(state: state)).to have_attributes(terminal?: terminal, settled?: settled,
                                                      complete?: state == "complete", blocked?: state == "blocked")
    end
  end

  it "has the priority 0 where none is told" do
    expect([status, status(priority: -5)].map(&:priority)).to eq([0, -5])
  end

  it "is frozen and equal to one that says the same" do
    expect(status).to be_frozen.and eq(status)
    expect(status).not_to eq(status(state: "complete"))
    expect({ status => 1 }[status]).to eq(1)
  end

  it "becomes a hash that JSON can say" do
    expect(JSON.parse(JSON.generate(status.to_h))).to eq(attributes)
  end
end
