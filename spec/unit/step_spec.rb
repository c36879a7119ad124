# frozen_string_literal: true

RSpec.describe TaskerCore::Step do
  let(:plan) { Struct.new(:name, :retry_limit, :config).new("charge", 3, { "url" => "u" }.freeze) }
  let(:task) { Struct.new(:context).new({ "order_id" => 1 }.freeze) }

  def step(attempt: 1)
    described_class.new(4_404_019, attempt, plan, task)
  end

  it "knows its name, ids, limits and configuration" do
    expect(step).to have_attributes(step_id: 4_404_019, workflow_step_id: 4_404_019, name: "charge",
                                    retry_limit: 3, config: { "url" => "u" }, results: nil)
  end

  it "counts attempts from 1, and those that ended before from 0" do
    expect([step, step(attempt: 3)].map { |it| [it.attempt, it.attempts] }).to eq([[1, 0], [3, 2]])
  end

  it "gives the context of the task as inputs" do
    expect(step.inputs).to be(task.context)
  end

  it "has the same idempotency key in every attempt" do
    expect([step, step(attempt: 2)].map(&:idempotency_key)).to eq(%w[tasker-4404019 tasker-4404019])
  end

  it "keeps the results that are assigned" do
    assigned = step
    assigned.results = { "id" => 9 }

    expect(assigned.results).to eq("id" => 9)
  end
end
