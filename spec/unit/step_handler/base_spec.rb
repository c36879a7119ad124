# frozen_string_literal: true

RSpec.describe TaskerCore::StepHandler::Base do
  let(:step) { Struct.new(:results).new(nil) }

  it "refuses to be executed without a process of its own, naming the class" do
    stub_const("Lazy", Class.new(described_class))

    expect { Lazy.new.process(nil, nil, step) }.to raise_error(NotImplementedError, /Lazy must define process/)
  end

  it "keeps the config that it is made with" do
    expect([described_class.new(config: { "a" => 1 }).config, described_class.new.config]).to eq([{ "a" => 1 }, nil])
  end

  it "takes the output for the results" do
    described_class.new.process_results(step, { "id" => 1 }, nil)

    expect(step.results).to eq("id" => 1)
  end

  it "leaves results alone that process has assigned" do
    step.results = "assigned"
    described_class.new.process_results(step, "output", nil)

    expect(step.results).to eq("assigned")
  end
end
